"""Packed files: every packing gives the same lines, damage ends them, and no bomb gets out."""

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from llm.corpus.archive import packed
from llm.corpus.archive.endings import inner_name
from llm.corpus.archive.packed import BROKEN, Bomb, lines, unpacked

PACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
LINES = [b"line %d %s\n" % (i, b"x" * (i % 90)) for i in range(5000)]


@pytest.mark.parametrize("ending", PACK)
def test_every_packing_gives_its_lines(ending: str) -> None:
    data = PACK[ending](b"".join(LINES))
    assert list(lines(io.BytesIO(data), f"a.jsonl{ending}", 200)) == LINES
    # Several members in a row are one file, as `cat` makes them.
    assert list(lines(io.BytesIO(data + data), f"a{ending}", 200)) == LINES * 2
    assert inner_name(f"A.JSONL{ending}") == "a.jsonl"


@pytest.mark.parametrize("ending", PACK)
def test_damage_is_told_and_never_passes_for_lines(ending: str) -> None:
    # With a check sum, which the other packings always have.
    checked = zstandard.ZstdCompressor(write_checksum=True).compress
    data = (checked if ending == ".zst" else PACK[ending])(b"".join(LINES))
    bits = random.Random(ending)
    told = 0
    for number in range(150):
        damaged = bytearray(data)
        damaged[bits.randrange(len(data))] ^= 1 << bits.randrange(8)
        cut = bits.randrange(len(data)) if number % 2 else len(data)
        found = list[bytes | None]()
        try:
            found.extend(lines(io.BytesIO(bytes(damaged[:cut])), f"a{ending}", 200))
        except BROKEN:
            told += 1
        else:
            assert found == (LINES if cut else []), number
    assert told > 100


@pytest.mark.parametrize("ending", PACK)
def test_a_bomb_is_stopped(ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "FREE_BYTES", 10_000_000)
    monkeypatch.setattr(packed, "MAX_RATIO", 500)
    bomb = PACK[ending](bytes(64_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(Bomb, match=r"bomb: .* bytes came out of"):
            for line in lines(io.BytesIO(bomb), f"a{ending}", 1_000_000):
                assert line is None
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_line_beyond_the_limit_is_none_and_the_next_comes() -> None:
    data = b"short\n" + b"x" * 5_000_000 + b"\nafter\n" + b"y" * 101
    assert list(lines(io.BytesIO(data), "a.txt", 100)) == [b"short\n", None, b"after\n", None]


def test_xz_may_not_ask_for_any_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_XZ_MEMORY", 1_000_000)
    data = lzma.compress(b"x" * 100, preset=9)
    with pytest.raises(lzma.LZMAError, match=r"[Mm]emory"):
        unpacked(io.BytesIO(data), "a.xz").read()


@pytest.mark.parametrize("ending", PACK)
def test_a_cut_file_gives_its_lines_and_then_says_that_it_is_cut(ending: str) -> None:
    data = PACK[ending](random.Random(0).randbytes(1_200_000).hex().encode() + b"\n")
    # In its second part: that the first one ended well must not hide it.
    for cut in (data[: len(data) // 2], data + data[: len(data) // 2], data + data[:-1]):
        stream = unpacked(io.BytesIO(cut), f"a{ending}")
        found = 0
        with pytest.raises(EOFError):
            while piece := stream.read1(1 << 16):
                found += len(piece)
        assert found > (len(cut) // len(data)) * 2_400_001 + 500_000


def test_zstd_frames_that_hold_no_data_are_passed_over() -> None:
    note = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    data = note + zstandard.compress(b"one\n") + note + zstandard.compress(b"two\n") + note
    assert unpacked(io.BytesIO(data), "a.zst").read() == b"one\ntwo\n"
    assert unpacked(io.BytesIO(b""), "a.zst").read() == b""

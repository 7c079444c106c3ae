"""However many stretches there are, each is found wherever it stands, and nothing else is."""

import random
from pathlib import Path

import pytest

from tasks.commands.quotes import LONGEST, WINDOW, Quotes
from tasks.commands.search import holds


def words(rng: random.Random, length: int) -> bytes:
    return "".join(rng.choices("abcdefgh ", k=length)).encode()


def test_what_is_found_is_what_python_finds() -> None:
    rng = random.Random(1)
    stretches = [words(rng, rng.randrange(WINDOW, 90)) for _ in range(3_000)]
    quotes = Quotes.of(stretches)
    assert len(quotes) == 3_000
    for _ in range(300):
        data = words(rng, rng.randrange(0, 300))
        if rng.random() < 0.5:
            at = rng.randrange(len(data) + 1)
            one = rng.choice(stretches)
            # Whole, or without its last letter: then it is another text.
            data = data[:at] + one[: len(one) - rng.randrange(2)] + data[at:]
        assert quotes.within(data) == any(one in data for one in stretches)


def test_a_stretch_across_two_reads_and_at_either_end_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.commands.search.CHUNK", 2_000)
    rng = random.Random(2)
    wanted = words(rng, 80)
    quotes = Quotes.of([wanted])
    for at in (0, 1, 1_921, 1_960, 1_999, 2_000, 3_950, 5_920):
        data = bytearray(b"." * 6_000)
        data[at : at + 80] = wanted
        (tmp_path / "file").write_bytes(data)
        assert holds(tmp_path / "file", quotes), at


def test_sets_are_joined_and_kept(tmp_path: Path) -> None:
    one, two = b"a" * WINDOW, b"b" * LONGEST
    joined = Quotes.of([one]) | Quotes.of([two, one])
    joined.save(tmp_path / "folder" / "quotes.npy")
    read = Quotes.load(tmp_path / "folder" / "quotes.npy")
    assert len(read) == 2 and read.within(b"." + two) and read.within(one)
    assert not read.within(b"b" * 100)
    assert one not in (tmp_path / "folder" / "quotes.npy").read_bytes(), "no text is kept"
    assert len(Quotes.load(tmp_path / "nothing")) == 0 and not Quotes().within(one)
    with pytest.raises(ValueError, match="24 to 1024 bytes"):
        Quotes.of([b"short"])

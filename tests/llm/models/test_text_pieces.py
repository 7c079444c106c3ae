"""Pieces of text against the tokenizer's own decoding of everything, for each kind of tokenizer."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from llm.models.text_pieces import Stops, TextPieces
from llm.tokens.formats.sentencepiece import BPE, Kind, Piece, Rules, tokenizer_of
from llm.tokens.tokenizer import TokenizerSettings, learn

TEXTS = [
    "The path of a file, naïve café. Don't join os.path.join(a, b)!",
    "日本語 🙂 and  two  blanks\n\n\tindented",
    "  begins with blanks \ufffd and a replacement character \ufffd\ufffd",
    "👩‍👩‍👧 e\u0301 مرحبا",
]


def trained(kind: str) -> Tokenizer:
    return learn(iter([TEXTS * 20]), TokenizerSettings(type=kind, vocabulary=400))


def sentencepiece() -> Tokenizer:
    special = [("<unk>", Kind.UNKNOWN), ("<s>", Kind.CONTROL), ("</s>", Kind.CONTROL)]
    pieces = [Piece(name, 0.0, kind) for name, kind in special]
    pieces += [Piece(f"<0x{byte:02X}>", 0.0, Kind.BYTE) for byte in range(256)]
    letters = sorted({*"".join(TEXTS[:1])} - {" "})
    pieces += [Piece(text, -1.0) for text in ("▁", "▁▁", *letters, *(f"▁{one}" for one in letters))]
    return tokenizer_of(pieces, BPE, Rules())


def metaspace() -> Tokenizer:
    words = ["<unk>", "▁", "▁▁", "a", "b", "▁a", "▁b▁c", "é"]
    tokenizer = Tokenizer(models.Unigram([(word, -1.0) for word in words], 0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def suffixes() -> Tokenizer:
    """The first BPE: a word's last token says so."""
    tokenizer = Tokenizer(
        models.BPE({word: at for at, word in enumerate(["a", "b", "a</w>", "b</w>"])}, [])
    )
    tokenizer.decoder = decoders.BPEDecoder()
    return tokenizer


def plain() -> Tokenizer:
    return Tokenizer(models.WordLevel({"a": 0, "b": 1, "日": 2}, "a"))


def added() -> Tokenizer:
    """Bytes, and tokens that were added later: text of their own, one of it special."""
    tokenizer = trained("bpe")
    tokenizer.add_tokens(["日本", "two words", "é"])
    tokenizer.add_special_tokens(["<|more|>"])
    return tokenizer


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level BPE": lambda: trained("bpe"),
    "unigram": lambda: trained("unigram"),
    "WordPiece": lambda: trained("wordpiece"),
    "SentencePiece": sentencepiece,
    "Metaspace": metaspace,
    "suffixes": suffixes,
    "no decoder": plain,
    "added tokens": added,
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return KINDS[request.param]()


def rows(tokenizer: Tokenizer) -> list[list[int]]:
    """Ids of texts, whole and cut anywhere, and ids in any order, ids without a token among them."""
    draws = random.Random(4)
    size = tokenizer.get_vocab_size()
    made = [[draws.randrange(size + 2) for _ in range(draws.randrange(30))] for _ in range(300)]
    bytes_only = [at for at in range(size) if (tokenizer.id_to_token(at) or "").startswith("<0x")]
    if bytes_only:
        made += [draws.choices([*bytes_only, size - 1], k=12) for _ in range(100)]
    if tokenizer.get_vocab_size() > 20:
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            made += [ids[cut:] for cut in range(len(ids))]
    return made


@pytest.mark.parametrize("skip_special", [False, True])
def test_pieces_joined_are_the_whole_text(tokenizer: Tokenizer, skip_special: bool) -> None:
    for ids in rows(tokenizer):
        pieces = TextPieces(tokenizer, skip_special=skip_special)
        text = "".join([*map(pieces.push, ids), pieces.finish()])
        assert text == tokenizer.decode(ids, skip_special_tokens=skip_special), ids


def test_text_before_is_gone_on_with_and_not_given(tokenizer: Tokenizer) -> None:
    for ids in rows(tokenizer):
        before, new = ids[: len(ids) // 2], ids[len(ids) // 2 :]
        shown = tokenizer.decode(before, skip_special_tokens=False)
        whole = tokenizer.decode(ids, skip_special_tokens=False)
        if "\ufffd" in shown + whole:
            continue  # what stands before is no whole text
        pieces = TextPieces(tokenizer, before)
        assert shown + "".join([*map(pieces.push, new), pieces.finish()]) == whole, ids


def test_no_piece_holds_part_of_a_character_and_whole_ones_do_not_wait() -> None:
    tokenizer = trained("bpe")
    text = "a 🙂 日本 b"
    alphabet = {token: number for token, number in tokenizer.get_vocab().items() if len(token) == 1}
    one_byte = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    [(spelled, _)] = one_byte.pre_tokenize_str(text)
    pieces = TextPieces(tokenizer)
    given = [pieces.push(alphabet[byte]) for byte in spelled]
    assert [piece for piece in given if piece] == list(text)
    assert pieces.finish() == ""
    assert TextPieces(tokenizer).push(alphabet[spelled[2]]) == ""


class Counting:
    """A tokenizer that counts the tokens that it decodes."""

    def __init__(self, inner: Tokenizer) -> None:
        self.inner, self.decoded = inner, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def decode(self, ids: list[int], **options: bool) -> str:
        self.decoded += len(ids)
        return self.inner.decode(ids, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_work_is_linear_in_the_text(kind: str) -> None:
    tokenizer = Counting(KINDS[kind]())
    pieces = TextPieces(tokenizer)  # type: ignore[arg-type]
    ids = [at % tokenizer.get_vocab_size() for at in range(2000)]
    for token in ids:
        pieces.push(token)
    pieces.finish()
    assert tokenizer.decoded <= 4 * len(ids)


def cut(text: str, stops: list[str]) -> str:
    """The text before the stop that is whole first; of those that end there, the longest."""
    ends = {
        (at, at - len(stop))
        for stop in stops
        for at in range(len(stop), len(text) + 1)
        if text[at - len(stop) : at] == stop
    }
    return text[: min(ends)[1]] if ends else text


def test_stops_across_pieces_end_the_text_and_are_never_seen() -> None:
    draws = random.Random(5)
    for _ in range(3000):
        text = "".join(draws.choices("ab\n", k=draws.randrange(20)))
        stops = [
            "".join(draws.choices("ab\n", k=draws.randrange(1, 5)))
            for _ in range(draws.randrange(4))
        ]
        found, given, at = Stops(stops), [], 0
        while at < len(text):
            size = draws.randrange(1, 4)
            given.append(found.push(text[at : at + size]))
            at += size
            assert cut(text, stops).startswith("".join(given))
        given.append(found.finish())
        assert "".join(given) == cut(text, stops)
        assert found.met == (cut(text, stops) != text)


def test_text_that_begins_no_stop_is_given_at_once() -> None:
    stops = Stops(["\n\nQ:"])
    assert [stops.push(piece) for piece in ("one\n", "two", "\n\n", "Q", ":x", "y")] == [
        "one",
        "\ntwo",
        "",
        "",
        "",
        "",
    ]
    assert stops.met and stops.finish() == ""
    with pytest.raises(ValueError, match="empty stop"):
        Stops(["a", ""])

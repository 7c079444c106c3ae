"""SentencePiece models: pieces with scores, Unigram or BPE, as a tokenizer of `tokenizers`.

The file is a protocol buffer, of which few fields matter (google/sentencepiece,
sentencepiece_model.proto), so they are read here.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from llm.step import BadInput

LIBRARIES = ("tokenizers",)

BLANK = "▁"  # stands for a space inside pieces
UNIGRAM, BPE = 1, 2


class Kind(IntEnum):
    """What a piece is, as the file numbers it."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Piece:
    """One entry of the vocabulary; its place is its id."""

    text: str
    score: float
    kind: Kind = Kind.NORMAL


@dataclass(frozen=True)
class Rules:
    """How text is changed before it is cut: the character map (compiled), spaces, the added blank.

    blank_last: the added blank stands behind the text, as each word has its own behind it.
    """

    characters: bytes = b""
    first_blank: bool = True
    fewer_spaces: bool = False
    blank_last: bool = False


def read_sentencepiece(path: Path) -> Tokenizer:
    """The tokenizer of a .model file. Raises BadInput for other files and kinds of model."""
    try:
        fields = _fields(path.read_bytes())
        pieces = [_piece(_fields(one)) for one in fields.get(1, [])]
        trained = _fields(fields[2][-1]) if 2 in fields else {}
        rules = _rules(_fields(fields[3][-1]), trained) if 3 in fields else Rules()
    except (IndexError, ValueError, struct.error, TypeError) as error:
        raise BadInput(f"{path} is not a SentencePiece model: {error}") from error
    model = trained.get(3, [UNIGRAM])[-1]
    if not pieces or model not in (UNIGRAM, BPE):
        raise BadInput(
            f"{path} has {len(pieces)} pieces and is of kind {model}: only SentencePiece models of the "
            f"kinds unigram ({UNIGRAM}) and bpe ({BPE}) can be imported"
        )
    return tokenizer_of(pieces, model, rules)


def tokenizer_of(pieces: Sequence[Piece], model: int, rules: Rules) -> Tokenizer:
    """A tokenizer that cuts text as SentencePiece does with these pieces."""
    unknown = next((at for at, piece in enumerate(pieces) if piece.kind == Kind.UNKNOWN), None)
    has_bytes = any(piece.kind == Kind.BYTE for piece in pieces)
    if model == UNIGRAM:
        best = max((one.score for one in pieces if one.kind == Kind.NORMAL), default=0.0)
        scores = [(piece.text, _score(piece, best)) for piece in pieces]
        tokenizer = Tokenizer(models.Unigram(scores, unk_id=unknown, byte_fallback=has_bytes))
    else:
        tokenizer = Tokenizer(
            models.BPE(
                vocab={piece.text: at for at, piece in enumerate(pieces)},
                merges=_merges(pieces),
                unk_token=None if unknown is None else pieces[unknown].text,
                fuse_unk=True,
                byte_fallback=has_bytes,
                ignore_merges=any(piece.kind == Kind.USER_DEFINED for piece in pieces),
            )
        )
    if cuts := _cuts(pieces, model):
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    steps: list[Any] = []
    if rules.characters:
        steps += _mapped(rules.characters, pieces)
    if rules.fewer_spaces:
        steps += [
            # At the end a ▁ of the text's own counts as a blank (normalizer.cc).
            normalizers.Replace(Regex(rf"\A +|[ {BLANK}]+\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    if rules.first_blank and rules.blank_last:
        steps.append(normalizers.Replace(Regex(r"(?<=(?m:.))\z"), BLANK))
    elif rules.first_blank:
        steps.append(normalizers.Prepend(BLANK))
    steps.append(normalizers.Replace(" ", BLANK))
    tokenizer.normalizer = normalizers.Sequence(steps)
    back = [decoders.Replace(BLANK, " "), decoders.ByteFallback(), decoders.Fuse()]
    if rules.first_blank:  # one at the end stays, as in SentencePiece
        back.append(decoders.Strip(" ", 1, 0))
    tokenizer.decoder = decoders.Sequence(back)
    special = [piece.text for piece in pieces if piece.kind in (Kind.CONTROL, Kind.UNKNOWN)]
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in special])
    return tokenizer


def _score(piece: Piece, best: float) -> float:
    """What SentencePiece reckons for a piece; best: the score of the likeliest normal one.

    A piece of the user's costs a little more than as many of the likeliest pieces as it has
    characters (google/sentencepiece, unigram_model.cc), so it is nearly always taken.
    """
    return len(piece.text) * best - 0.1 if piece.kind == Kind.USER_DEFINED else piece.score


def _cuts(pieces: Sequence[Piece], model: int) -> list[Any]:
    """Where text is cut whatever the model finds: for a BPE, around the user's pieces, the longest first.

    Text that only spells the name of a piece that text must not give, one that stands for a byte
    (<0x0A>) or is unused, is cut behind its first character: for a Unigram model, which would find it
    likely, and where it is all that a BPE with pieces of the user's looks up whole. Control tokens are
    left to `plain_text`.
    """
    own = [piece.text for piece in pieces if piece.kind == Kind.USER_DEFINED]
    rules = [re.escape(text) for text in sorted(own, key=lambda text: (-len(text), text))]
    cuts: list[pre_tokenizers.PreTokenizer] = []
    if rules and model == BPE:
        cuts.append(pre_tokenizers.Split(Regex("|".join(rules)), "isolated"))
    kinds = (Kind.BYTE, Kind.UNUSED)
    names = [piece.text for piece in pieces if piece.kind in kinds and len(piece.text) > 1]
    if names and (model == UNIGRAM or own):
        begin, end = ("", "") if model == UNIGRAM else (r"\A", r"\z")
        spelled = "|".join(
            f"{begin}{re.escape(name[0])}(?={re.escape(name[1:])}{end})" for name in names
        )
        cuts.append(pre_tokenizers.Split(Regex(spelled), "merged_with_previous"))
    return cuts


def _mapped(characters: bytes, pieces: Sequence[Piece]) -> list[Any]:
    """The map of characters, which leaves the user's pieces as they are."""
    change = normalizers.Precompiled(characters)
    own = [piece.text for piece in pieces if piece.kind == Kind.USER_DEFINED]
    changed = sorted((text for text in own if change.normalize_str(text) != text), key=len)[::-1]
    stand_ins = {text: chr(0xF0000 + at) for at, text in enumerate(changed)}  # for private use
    return [
        *(normalizers.Replace(text, stand_in) for text, stand_in in stand_ins.items()),
        change,
        *(normalizers.Replace(stand_in, text) for text, stand_in in stand_ins.items()),
    ]


def _merges(pieces: Sequence[Piece]) -> list[tuple[str, str]]:
    """Each way to make a piece of two others, those of the best score first."""
    ids = {
        piece.text: at
        for at, piece in enumerate(pieces)
        if piece.kind in (Kind.NORMAL, Kind.USER_DEFINED)
    }
    found = []
    for text, at in ids.items():
        for cut in range(1, len(text)):
            left, right = ids.get(text[:cut]), ids.get(text[cut:])
            if left is not None and right is not None:
                found.append((-pieces[at].score, at, left, right))
    return [(pieces[left].text, pieces[right].text) for *_, left, right in sorted(found)]


def _piece(fields: Mapping[int, list[Any]]) -> Piece:
    [score] = struct.unpack("<f", fields[2][-1]) if 2 in fields else [0.0]
    return Piece(fields[1][-1].decode(), score, Kind(fields.get(3, [Kind.NORMAL])[-1]))


def _rules(fields: Mapping[int, list[Any]], trained: Mapping[int, list[Any]]) -> Rules:
    return Rules(
        characters=fields.get(2, [b""])[-1],
        first_blank=bool(fields.get(3, [1])[-1]),
        fewer_spaces=bool(fields.get(4, [1])[-1]),
        blank_last=bool(trained.get(24, [0])[-1]),
    )


def _fields(data: bytes) -> dict[int, list[Any]]:
    """A message's values by field number: integers, and bytes for all else."""
    found: dict[int, list[Any]] = {}
    for number, value in _read(data):
        found.setdefault(number, []).append(value)
    return found


def _read(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _integer(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _integer(data, at)
            yield tag >> 3, value
            continue
        if kind == 2:
            size, at = _integer(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of wire type {kind} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"it ends inside a field at byte {at}")
        yield tag >> 3, data[at : at + size]
        at += size


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A number in base 128, lowest digits first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        shift += 7
        if byte < 128:
            return value, at

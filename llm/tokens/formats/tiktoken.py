"""tiktoken's ranks: a line a token, its bytes in base64 and its rank, which is its id.

Ranks say which neighbours are joined first, not which pairs tokens were made of. Each token's pair
is what its bytes come down to when only tokens of lower rank are joined (Sennrich et al. 2016 read
backwards), so the merges that r50k_base was made from come out in their order.
"""

import base64
import binascii
import hashlib
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models

from llm.step import BadInput
from llm.tokens.patterns import PATTERNS, bytes_shown, cut_into_bytes

LIBRARIES = ("tokenizers",)

_END = "<|endoftext|>"
_PUBLISHED: tuple[tuple[str, str, str, dict[str, int]], ...] = (
    (
        "r50k_base",
        "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        "gpt2",
        {_END: 50256},
    ),
    (
        "p50k_base",
        "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
        "gpt2",
        {_END: 50256},
    ),
    (
        "cl100k_base",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        "gpt4",
        {
            _END: 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    (
        "o200k_base",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        "o200k",
        {_END: 199999, "<|endofprompt|>": 200018},
    ),
)
PUBLISHED = {digest: (name, pattern, special) for name, digest, pattern, special in _PUBLISHED}
"""Published encodings by the SHA-256 of their file (openai/tiktoken, openai_public.py): their name,
their pattern, and the ids of their special tokens."""


def read_tiktoken(path: Path, pattern: str | None) -> Tokenizer:
    """Byte-level BPE from a .tiktoken file, which does not say how text is cut before it is encoded.

    pattern: a name of patterns.PATTERNS; None for ranks that OpenAI published, which are recognised.
    Raises BadInput for a file that holds no ranks, for published ones with the pattern of others, and
    for others without a pattern.
    """
    ranks = _ranks(path)
    name, own, special = PUBLISHED.get(_digest(ranks), ("", pattern, {}))
    if own is None:
        raise BadInput(
            f"{path}: these {len(ranks):,} ranks are not among those that OpenAI published, and the file does not "
            f"say how text is cut: set tokenizer.pattern to one of {', '.join(PATTERNS)}"
        )
    if pattern is not None and PATTERNS[own] != PATTERNS[pattern]:
        raise BadInput(
            f"{path} is {name}, which belongs to tokenizer.pattern {own}, not {pattern}: leave the "
            "setting out"
        )
    shown = bytes_shown()

    def spelled(token: bytes) -> str:
        return "".join(shown[byte] for byte in token)

    vocabulary = {spelled(token): rank for token, rank in ranks.items()} | special
    # An id that nothing has would be a hole: libraries that count tokens would count wrong.
    taken = set(vocabulary.values())
    holes = [number for number in range(max(taken)) if number not in taken]
    vocabulary |= {f"<|unused_{number}|>": number for number in holes}
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) > 1:
            parts = join(token, ranks, rank)
            if len(parts) == 2:  # others are found whole, but never made by merging
                merges.append((spelled(parts[0]), spelled(parts[1])))
    # tiktoken looks a piece up whole before it merges.
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    cut_into_bytes(tokenizer, PATTERNS[own])
    names = [*special, *(f"<|unused_{number}|>" for number in holes)]
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in names])
    return tokenizer


def join(piece: bytes, ranks: dict[bytes, int], limit: int) -> list[bytes]:
    """Join a piece's neighbours, those of the lowest rank first, as long as it is below `limit`."""
    parts = [piece[at : at + 1] for at in range(len(piece))]
    while len(parts) > 2:
        best, place = limit, -1
        for at in range(len(parts) - 1):
            rank = ranks.get(parts[at] + parts[at + 1], limit)
            if rank < best:
                best, place = rank, at
        if place < 0:
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
    return parts


def _digest(ranks: dict[bytes, int]) -> str:
    """The SHA-256 of the file that tiktoken would have written, whatever ours has between lines."""
    lines = (
        base64.b64encode(token) + b" %d\n" % rank
        for token, rank in sorted(ranks.items(), key=lambda item: item[1])
    )
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _ranks(path: Path) -> dict[bytes, int]:
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise BadInput(f"{path}, line {number}: not a token in base64 and its rank") from error
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise BadInput(f"{path}: {len(missing)} single bytes have no rank, so some text has no ids")
    return ranks

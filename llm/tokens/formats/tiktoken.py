"""tiktoken's ranks: a line a token, its bytes in base64 and its rank, which is its id.

Ranks say which neighbours are joined first, not which pairs tokens were made of. Each token's pair
is what its bytes come down to when only tokens of lower rank are joined (Sennrich et al. 2016 read
backwards), so the merges that r50k_base was made from come out in their order.
"""

import base64
import binascii
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models

from llm.step import BadInput
from llm.tokens.patterns import PATTERNS, bytes_shown, cut_into_bytes

LIBRARIES = ("tokenizers",)

# Published encodings, known by how many ranks they have: their pattern, and the ids of their special
# tokens (openai/tiktoken, openai_public.py).
PUBLISHED = {
    50256: ("gpt2", {"<|endoftext|>": 50256}),
    100256: (
        "gpt4",
        {
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
}


def read_tiktoken(path: Path, pattern: str) -> Tokenizer:
    """Byte-level BPE from a .tiktoken file and the pattern of that name, which no file says.

    Raises BadInput for a file that holds no ranks, and for r50k_base and cl100k_base with the
    pattern of the other.
    """
    ranks = _ranks(path)
    own, special = PUBLISHED.get(len(ranks), (pattern, {}))
    if PATTERNS[own] != PATTERNS[pattern]:
        raise BadInput(
            f"{path}: {len(ranks):,} ranks go with tokenizer.pattern {own}, not {pattern}"
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
    cut_into_bytes(tokenizer, PATTERNS[pattern])
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

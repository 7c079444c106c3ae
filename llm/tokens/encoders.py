"""Encoding many texts at once, with the fastest library that gives the ids of `tokenizers`.

Hugging Face's tokenizers says which ids are right. Faster libraries are young, so one is used only
where it gives the same ids for a sample of the very documents to be encoded and for text that is
hard to get right; otherwise tokenizers itself encodes. Ids do not depend on which one it was.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import Tokenizer

from llm.tokens.special import SPECIAL_TOKENS, id_count, read_special_tokens_as_text

LIBRARIES = ("tokenizers",)

Ids = np.ndarray[Any, np.dtype[np.uint32]]
Offsets = np.ndarray[Any, np.dtype[np.int64]]
Encode = Callable[[pa.LargeStringArray], tuple[Ids, Offsets]]

SAMPLE_BYTES = 100_000  # of each shard, spread evenly: some 20 ms for tokenizers


@dataclass(frozen=True)
class Encoder:
    """encode: texts (N,) → ids of all, end to end (T,) uint32, and where each text's begin (N + 1,).

    Special tokens spelled out in a text are read as plain characters.
    """

    name: str
    encode: Encode


def reference(tokenizer: Tokenizer) -> Encoder:
    """Hugging Face's tokenizers itself."""
    read_special_tokens_as_text(tokenizer)

    def encode(texts: pa.LargeStringArray) -> tuple[Ids, Offsets]:
        found = tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        offsets = np.zeros(len(found) + 1, np.int64)
        np.cumsum([len(one) for one in found], out=offsets[1:])
        ids = [np.array(one.ids, np.uint32) for one in found]
        return np.concatenate([np.empty(0, np.uint32), *ids]), offsets

    return Encoder(f"tokenizers {version('tokenizers')}", encode)


def _gigatoken(tokenizer: Tokenizer) -> Encoder:
    import awkward
    from gigatoken.gigatoken_rs import load_hf_json

    described = json.loads(tokenizer.to_str())
    # It has no mode for reading special tokens as text, so it is not told of them.
    described["added_tokens"] = [one for one in described["added_tokens"] if not one["special"]]
    described["post_processor"] = None
    backend = load_hf_json(json.dumps(described))

    def encode(texts: pa.LargeStringArray) -> tuple[Ids, Offsets]:
        found = backend.encode_batch(awkward.from_arrow(texts))
        offsets = found.layout.offsets.data.astype(np.int64)
        return found.layout.content.data[offsets[0] : offsets[-1]], offsets - offsets[0]

    return Encoder(f"gigatoken {version('gigatoken')}", encode)


def _fastokens(tokenizer: Tokenizer) -> Encoder:
    from fastokens import _native

    backend = _native.Tokenizer.from_json_str(tokenizer.to_str())

    def encode(texts: pa.LargeStringArray) -> tuple[Ids, Offsets]:
        ids, offsets = backend.encode_batch_flat(texts.to_pylist(), split_special_tokens=True)
        return np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64).astype(np.int64)

    return Encoder(f"fastokens {version('fastokens')}", encode)


FASTER = (_gigatoken, _fastokens)  # the fastest first


@dataclass(frozen=True)
class Prepared:
    """A tokenizer and what can encode for it: faster ones, that agree on hard cases, fastest first.

    end: one more than the highest id; an imported vocabulary may have gaps.
    """

    tokenizer: Tokenizer
    faster: tuple[Encoder, ...]
    end: int


@lru_cache(maxsize=2)
def prepare(described: str) -> Prepared:
    """Load a tokenizer.json's content, once a process: a shard takes less time than this does.

    An encoder that is not installed, cannot read the tokenizer or errs is passed over.
    """
    tokenizer = Tokenizer.from_str(described)
    cases = pa.array(hard_cases(tokenizer), pa.large_string())
    expected = reference(tokenizer).encode(cases)
    faster = []
    for build in FASTER:
        try:
            encoder = build(tokenizer)
            if agrees(encoder, cases, expected):
                faster.append(encoder)
        except Exception:  # each library has errors of its own, and none of them matters here
            continue
    return Prepared(tokenizer, tuple(faster), id_count(tokenizer))


def fastest(prepared: Prepared, documents: pa.LargeStringArray) -> Encoder:
    """The fastest encoder whose ids are the tokenizer's on a sample of `documents` as well."""
    truth = reference(prepared.tokenizer)
    if not prepared.faster:
        return truth
    sample = _spread_out(documents)
    expected = truth.encode(sample)
    for encoder in prepared.faster:
        if agrees(encoder, sample, expected):
            return encoder
    return truth


def agrees(encoder: Encoder, texts: pa.LargeStringArray, expected: tuple[Ids, Offsets]) -> bool:
    """Whether an encoder gives these ids and offsets for these texts; not where it fails."""
    try:
        found = encoder.encode(texts)
    except Exception:  # each library has errors of its own, and none of them matters here
        return False
    return np.array_equal(found[0], expected[0]) and np.array_equal(found[1], expected[1])


def _spread_out(documents: pa.LargeStringArray) -> pa.LargeStringArray:
    """Documents spread evenly over those given, until they have SAMPLE_BYTES in all."""
    stride = max(1, documents.nbytes // SAMPLE_BYTES)
    chosen = documents.take(pa.array(np.arange(0, len(documents), stride)))
    sizes = pc.fill_null(pc.binary_length(chosen), 0).to_numpy(zero_copy_only=False)
    return chosen.slice(0, 1 + int(np.searchsorted(np.cumsum(sizes), SAMPLE_BYTES)))


def hard_cases(tokenizer: Tokenizer) -> list[str]:
    """Texts that encoders get wrong: white space, marks, emoji, scripts, numbers, special tokens."""
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    letters = "aZſßKéÅÅıİ日本語한국어कि้שׁلا\u0301\u0308\u200d\u200b\ufeff\u00ad"
    spaces = [" ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u2028", "\x85", "\x0b", "\x1c"]
    return [
        "",
        *(space * count + word for space in spaces for count in (1, 2, 3, 64) for word in ("", "x", ".")),
        *("".join(map(chr, range(first, first + 128))) for first in range(1, 0xD800, 1024)),
        *("".join(map(chr, range(first, first + 64))) for first in range(0x1F300, 0x1FB00, 256)),
        "\x00\x01\x7f\ufffd\ue000\U0010ffff\U000e0001",
        "👩‍👩‍👧‍👦 🇪🇸🇰🇷 👍🏽 ❤️ 1️⃣",
        "".join(f"{one}{other}" for one in letters for other in letters),
        " ".join(f"I{mark}{end}" for mark in "'’" for end in ("ll", "LL", "s", "S", "ſ", "ve", "d", "x")),
        "0123456789 ²³¼ ٣٤ Ⅷ 1,000.50 -7e-9 12345678901234567890",
        "if x:\n\n\n        return  {'a': [1, 2]}  \n\t\t# end \r\n\r\n  ",
        "a" * 3000 + " " * 3000 + "!" * 3000 + "\n" * 3000 + "日" * 3000,
        *(f"before{token} {token}after{token}{token}" for token in {*special, *SPECIAL_TOKENS}),
    ]  # fmt: skip

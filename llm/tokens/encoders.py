"""Encoding many texts at once, with the fastest library that gives the ids of `tokenizers`.

Hugging Face's tokenizers says which ids are right. Faster libraries are young, so one is used only
where it gives the same ids for text that is hard to get right and for a sample of the very documents
that it encodes; otherwise tokenizers itself encodes. Ids do not depend on which one it was.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from llm.durable import bytes_digest
from llm.tokens import arrow
from llm.tokens.plain_text import control_ids, encode_unspelled, holding
from llm.tokens.special import SPECIAL_TOKENS, id_count, read_special_tokens_as_text

LIBRARIES = ("tokenizers",)

Ids = np.ndarray[Any, np.dtype[np.uint32]]
Offsets = np.ndarray[Any, np.dtype[np.int64]]
Encode = Callable[[pa.LargeStringArray], tuple[Ids, Offsets]]

SAMPLE_BYTES = 50_000  # of each shard, spread evenly: some 10 ms for tokenizers

# Shards are encoded side by side and begin with the same tokenizer: one thread loads it, all wait.
_loading = Lock()


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

    return _guarded(Encoder(f"tokenizers {version('tokenizers')}", encode), tokenizer)


def _guarded(encoder: Encoder, tokenizer: Tokenizer) -> Encoder:
    """An encoder of which no id is a control token's, whatever a text spells."""
    control = control_ids(tokenizer)

    def encode(texts: pa.LargeStringArray) -> tuple[Ids, Offsets]:
        ids, offsets = encoder.encode(texts)
        rows = holding(ids, offsets, control)
        if not len(rows):
            return ids, offsets
        parts = [ids[begin:end] for begin, end in pairwise(offsets)]
        for row in rows:
            found = encode_unspelled(tokenizer, texts[int(row)].as_py())
            parts[row] = np.array(found.ids, np.uint32)
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        return np.concatenate(parts), offsets

    return Encoder(encoder.name, encode)


def _gigatoken(described: bytes) -> Encoder:
    import awkward
    from gigatoken.gigatoken_rs import load_hf_json

    backend = load_hf_json(_without_special_tokens(described))

    def encode(texts: pa.LargeStringArray) -> tuple[Ids, Offsets]:
        found = backend.encode_batch(awkward.from_arrow(texts))
        offsets = found.layout.offsets.data.astype(np.int64)
        return found.layout.content.data[offsets[0] : offsets[-1]], offsets - offsets[0]

    return Encoder(f"gigatoken {version('gigatoken')}", encode)


def _without_special_tokens(described: bytes) -> bytes:
    """The tokenizer for a library with no mode for reading special tokens as text: not told of them.

    The model, by far the most of it and written last, is not parsed. A `"model":` that is not where
    it is expected leaves no valid JSON before it, and an error.
    """
    head, key, model = described.partition(b'"model":')
    settings = json.loads(head + key + b"null}")
    settings["added_tokens"] = [one for one in settings["added_tokens"] if not one["special"]]
    settings["post_processor"] = None
    return json.dumps(settings).removesuffix("null}").encode() + model


def _fastokens(described: bytes) -> Encoder:
    from fastokens import _native

    backend = _native.Tokenizer.from_json_str(described.decode())

    def encode(texts: pa.LargeStringArray) -> tuple[Ids, Offsets]:
        ids, offsets = backend.encode_batch_flat(texts.to_pylist(), split_special_tokens=True)
        return np.frombuffer(ids, np.uint32), np.frombuffer(offsets, np.uint64).astype(np.int64)

    return Encoder(f"fastokens {version('fastokens')}", encode)


FASTER = (_gigatoken, _fastokens)  # the fastest first


@dataclass(frozen=True, eq=False)
class Prepared:
    """A tokenizer, and what can encode for it.

    digest: of the tokenizer.json, as of a file. end: one more than the highest id; an imported
    vocabulary may have gaps.
    """

    described: bytes
    digest: str
    tokenizer: Tokenizer
    truth: Encoder
    end: int

    def faster(self) -> Iterator[Encoder]:
        """Faster encoders that agree on hard cases, the fastest first; each is loaded when asked for.

        One that is not installed, cannot read the tokenizer or errs is passed over.
        """
        for build in FASTER:
            with _loading:
                encoder = _agreeing(build, self)
            if encoder:
                yield encoder


def prepare(described: bytes) -> Prepared:
    """Load a tokenizer.json's content, once a process: a shard takes less time than this does."""
    with _loading:
        return _prepared(described)


@lru_cache(maxsize=2)
def _prepared(described: bytes) -> Prepared:
    tokenizer = Tokenizer.from_buffer(described)
    digest = bytes_digest(described)
    return Prepared(described, digest, tokenizer, reference(tokenizer), id_count(tokenizer))


@lru_cache(maxsize=4)
def _agreeing(build: Callable[[bytes], Encoder], prepared: Prepared) -> Encoder | None:
    """The encoder that `build` makes of the tokenizer's description, if it is right on hard cases."""
    cases = arrow.texts(hard_cases(prepared.tokenizer))
    try:
        with ThreadPoolExecutor(1) as thread:
            expected = thread.submit(prepared.truth.encode, cases)
            encoder = _guarded(build(prepared.described), prepared.tokenizer)
            found = encoder.encode(cases)
    except Exception:  # each library has errors of its own, and none of them matters here
        return None
    every = np.arange(len(cases))
    return encoder if _agree(found, len(cases), every, expected.result()) else None


def fastest(
    prepared: Prepared, documents: pa.LargeStringArray
) -> tuple[Encoder, tuple[Ids, Offsets]]:
    """The fastest encoder whose ids are the tokenizer's on a sample of `documents`, and its ids of all.

    tokenizers encodes the sample in a thread meanwhile.
    """
    rows = _spread_out(documents)
    for encoder in prepared.faster():
        with ThreadPoolExecutor(1) as thread:
            expected = thread.submit(prepared.truth.encode, documents.take(arrow.numbers(rows)))
            try:
                found = encoder.encode(documents)
            except Exception:  # as above
                continue
        if _agree(found, len(documents), rows, expected.result()):
            return encoder, found
    return prepared.truth, prepared.truth.encode(documents)


class CheckedEncoder:
    """Encodes a shard's documents by the `fastest` encoder for the first of them.

    name: the encoder and its version; "none" before the first documents.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._chosen: Encoder | None = None

    @property
    def name(self) -> str:
        return self._chosen.name if self._chosen else "none"

    def encode(self, texts: pa.LargeStringArray) -> tuple[Ids, Offsets]:
        """As `Encoder.encode`."""
        if self._chosen:
            return self._chosen.encode(texts)
        self._chosen, found = fastest(self._prepared, texts)
        return found


def _agree(
    found: tuple[Ids, Offsets], count: int, rows: np.ndarray, expected: tuple[Ids, Offsets]
) -> bool:
    """Whether the ids found for `count` texts are, for some rows of them, those expected of these rows."""
    ids, offsets = found
    if len(offsets) != count + 1 or offsets[0] != 0 or offsets[-1] != len(ids):
        return False
    return all(
        np.array_equal(ids[begin:end], expected[0][first:last])
        for (begin, end), (first, last) in zip(
            zip(offsets[rows], offsets[rows + 1], strict=True), pairwise(expected[1]), strict=True
        )
    )


def _spread_out(documents: pa.LargeStringArray) -> np.ndarray:
    """Rows spread evenly over those given, until their texts have SAMPLE_BYTES in all."""
    stride = max(1, documents.nbytes // SAMPLE_BYTES)
    rows = np.arange(0, len(documents), stride)
    sizes = arrow.text_bytes(documents)[rows]
    return rows[: 1 + int(np.searchsorted(np.cumsum(sizes), SAMPLE_BYTES))]


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

"""Encoding text from outside: no text spells a control token, whatever the tokenizer.

A document must not be able to end itself, nor a message to speak for another. `tokenizers` has an
option that reads special tokens as plain characters. It does not reach a token that is not marked
special, nor one that the vocabulary's own model finds, as a word, a piece or by merging. So the
result is looked at: where ids of text hold a control token, the text is encoded again by a copy of the
tokenizer whose control tokens have names that no text can have.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from tokenizers import Encoding, Tokenizer

from llm.tokens.special import GROUPS, SPECIAL_TOKENS, read_special_tokens_as_text

LIBRARIES = ("tokenizers",)

NO_CHARACTER = "\uffff"  # stands in no text: where one has it, it is replaced before it is encoded

_known: WeakKeyDictionary[Tokenizer, tuple[int, frozenset[int]]] = WeakKeyDictionary()


def control_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that no text may have: of special tokens, and of tokens that Penstock gives a meaning.

    The id that stands for unknown text is none of them.
    """
    size = tokenizer.get_vocab_size()
    if tokenizer not in _known or _known[tokenizer][0] != size:
        _known[tokenizer] = size, frozenset(_control(tokenizer).values())
    return _known[tokenizer][1]


def _control(tokenizer: Tokenizer) -> dict[str, int]:
    """The control tokens of a tokenizer by their spelling."""
    added = tokenizer.get_added_tokens_decoder()
    found = {token.content: number for number, token in added.items() if token.special}
    for name in (*SPECIAL_TOKENS, *(name for group in GROUPS.values() for name in group)):
        if (number := tokenizer.token_to_id(name)) is not None:
            found[name] = number
    unknown = _unknown(tokenizer.model)
    return {name: number for name, number in found.items() if name != unknown}


def _unknown(model: Any) -> str | None:
    """The token that a model gives for text that it has no others for."""
    if hasattr(model, "unk_token"):
        return model.unk_token
    described = json.loads(model.__getstate__())  # Unigram tells it here alone
    number = described.get("unk_id")
    return None if number is None else described["vocab"][number][0]


def encode_text(tokenizer: Tokenizer, text: str) -> Encoding:
    """Encode one text, without what the tokenizer would put around it; no id is a control token's."""
    return encode_texts(tokenizer, [text])[0]


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Encoding]:
    """Encode texts, offsets of tokens included; as `encode_text`."""
    read_special_tokens_as_text(tokenizer)
    found = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    control = control_ids(tokenizer)
    for row, one in enumerate(found):
        if not control.isdisjoint(one.ids):
            found[row] = encode_unspelled(tokenizer, texts[row])
    return found


def encode_unspelled(tokenizer: Tokenizer, text: str) -> Encoding:
    """Encode a text that spells control tokens, by a tokenizer in which they have other names."""
    copy = _unspelled(tokenizer.to_str())
    read_special_tokens_as_text(copy)
    return copy.encode(text.replace(NO_CHARACTER, "\ufffd"), add_special_tokens=False)


def holding(ids: np.ndarray, offsets: np.ndarray, control: frozenset[int]) -> np.ndarray:
    """The rows whose ids hold a control token: (rows,); row n is ids[offsets[n]:offsets[n + 1]]."""
    numbers = np.fromiter(sorted(control), ids.dtype, len(control))
    if not len(ids) or not len(numbers):
        return np.empty(0, np.int64)
    if len(numbers) == 1 + int(numbers[-1] - numbers[0]):  # one after the other, as in ours
        places = np.flatnonzero((ids >= numbers[0]) & (ids <= numbers[-1]))
    else:
        table = np.zeros(1 + max(int(numbers[-1]), int(ids.max())), bool)
        table[numbers] = True
        places = np.flatnonzero(table[ids])
    return np.unique(np.searchsorted(offsets, places, side="right") - 1)


@lru_cache(maxsize=2)
def _unspelled(described: str) -> Tokenizer:
    control = _control(Tokenizer.from_str(described))
    names = {name: f"{NO_CHARACTER}{number}{NO_CHARACTER}" for name, number in control.items()}
    fields = json.loads(described)
    for token in fields["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
    fields["post_processor"] = None  # it may name them, and adds nothing here
    model = fields["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {names.get(name, name): number for name, number in model["vocab"].items()}
    else:
        model["vocab"] = [[names.get(name, name), score] for name, score in model["vocab"]]
    if "merges" in model:
        pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
        model["merges"] = [
            pair for pair in pairs if names.keys().isdisjoint((*pair, "".join(pair)))
        ]
    return Tokenizer.from_str(json.dumps(fields))

"""What special tokens are to a model: the one that begins a text, and those that end one.

A model folder says it in config.json and generation_config.json, as transformers reads it, by ids.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from llm.models.layouts.fields import read_object, shown
from llm.step import BadInput

# By role, the tokens that play it, the first that the tokenizer has: ours, then SentencePiece's.
ROLES = {
    "bos_token": ("<|endoftext|>", "<s>"),
    "eos_token": ("<|endoftext|>", "</s>"),
    "pad_token": ("<|pad|>", "<pad>"),
}
START = "decoder_start_token_id"
MESSAGE_END = "<|im_end|>"  # ends what a model that chats writes


@dataclass(frozen=True)
class Delimiters:
    """begin: the id that a text starts with. ends: ids that come after one, `begin` among them.

    A model that marks beginnings alone, as those of llama2.c do, ends a text by beginning another.
    """

    begin: int
    ends: frozenset[int]


def roles_of(tokenizer: Tokenizer) -> dict[str, str]:
    """The special tokens that a tokenizer has, by what transformers calls their role."""
    found = {
        role: [name for name in names if tokenizer.token_to_id(name) is not None]
        for role, names in ROLES.items()
    }
    return {role: names[0] for role, names in found.items() if names}


def ids_of(tokenizer: Tokenizer) -> tuple[dict[str, Any], list[int] | None]:
    """Ids by the fields of config.json, and those that generation stops at (None: it never does)."""
    ids = {f"{role}_id": tokenizer.token_to_id(name) for role, name in roles_of(tokenizer).items()}
    stops = [ids.get("eos_token_id"), tokenizer.token_to_id(MESSAGE_END)]
    return ids, [stop for stop in stops if stop is not None] or None


def start_of(folder: Path, tokenizer: Tokenizer, vocabulary: int) -> int:
    """The id that an encoder-decoder's target starts from: what its folder says, else padding.

    Raises BadInput where neither knows one, or the id is not below `vocabulary`.
    """
    start = None
    for name in ("config.json", "generation_config.json"):  # the second overrides the first
        path = folder / name
        fields = read_object(path) if path.is_file() else {}
        if fields.get(START) is not None:
            start = _ids(path, START, fields[START])[0]
    if start is None:
        start = ids_of(tokenizer)[0].get("pad_token_id")
    if start is None or not 0 <= start < vocabulary:
        said = "no token" if start is None else f"{START} {start}"
        raise BadInput(
            f"{folder} has {said} that the model's target could start from, of {vocabulary}: give its id "
            f"as {START} in config.json"
        )
    return start


def delimiters(folder: Path, tokenizer: Tokenizer, vocabulary: int) -> Delimiters:
    """What a model folder says; else what its tokenizer's tokens are called.

    Raises BadInput where neither knows a beginning, or the id is not below `vocabulary`.
    """
    said: dict[str, list[int]] = {}
    for name in ("config.json", "generation_config.json"):  # the second overrides the first
        path = folder / name
        fields = read_object(path) if path.is_file() else {}
        for field in ("bos_token_id", "eos_token_id"):
            if fields.get(field) is not None:
                said[field] = _ids(path, field, fields[field])
    ids, stops = ids_of(tokenizer)
    begin = said["bos_token_id"][0] if "bos_token_id" in said else ids.get("bos_token_id")
    ends = said.get("eos_token_id", stops or [])
    if begin is None:
        raise BadInput(
            f"{folder} does not say which token begins a text: give its id as bos_token_id in "
            "config.json"
        )
    if not 0 <= begin < vocabulary:
        raise BadInput(
            f"{folder}: bos_token_id {begin} is none of the model's {vocabulary} tokens; set it right "
            "in config.json and generation_config.json"
        )
    return Delimiters(begin, frozenset({begin, *ends}))


def _ids(path: Path, field: str, value: Any) -> list[int]:
    ids = value if isinstance(value, list) and field == "eos_token_id" else [value]
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
        allowed = "a token's id or a list of ids" if field == "eos_token_id" else "a token's id"
        raise BadInput(f"{path}: {field} must be {allowed}, not {shown(value)}")
    return ids

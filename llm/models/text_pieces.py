"""Text of tokens as they come: whole characters only, in time linear in the text.

All pieces joined are what the tokenizer makes of all ids at once. How far a decoder's later tokens can
change the text of earlier ones depends on its kind:

- ByteLevel: tokens are bytes, and a character ends where its last byte stands.
- Others decode token by token, the first of all in its own way (SentencePiece drops its blank,
  WordPiece puts none before it). So a token is decoded behind the one before it, whose text is cut
  off. The tokens of single bytes that SentencePiece has for rare characters (<0xE2>) are decoded
  together: one wrong byte spoils all that stand side by side, so they wait for another token.
"""

import codecs
import json
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import Tokenizer

BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


class TextPieces:
    """The text of one row of tokens.

    before: tokens that stand before the first, whose text is not given. skip_special: whether special
    tokens have no text.
    """

    def __init__(
        self, tokenizer: Tokenizer, before: Sequence[int] = (), skip_special: bool = False
    ) -> None:
        self._tokenizer = tokenizer
        self._special = _special_ids(tokenizer) if skip_special else frozenset()
        kinds = _decoder_kinds(tokenizer)
        self._bytes = (
            codecs.getincrementaldecoder("utf-8")("replace") if kinds == ["ByteLevel"] else None
        )
        self._holds_bytes = "ByteFallback" in kinds
        self._context: list[int] = []  # decoded with what comes, and cut off again
        self._held: list[int] = []  # whose text may still change
        self._shown = ""  # what of the text of both is given already
        for token in before:
            self.push(token)
        if self._held:  # the text of a prompt ends where it ends
            self._shown = self._decode([*self._context, *self._held])

    def push(self, token: int) -> str:
        """What is certain of the text now, behind what has been given: often the token's, or ""."""
        spelled = self._tokenizer.id_to_token(token)
        if spelled is None or token in self._special:
            return ""
        if self._bytes is not None:
            return self._bytes.decode(_bytes_of(spelled))
        self._held.append(token)
        if self._holds_bytes and BYTE_TOKEN.fullmatch(spelled):
            return ""
        return self._give([token])

    def finish(self) -> str:
        """What is left: characters that lack bytes are U+FFFD."""
        if self._bytes is not None:
            return self._bytes.decode(b"", final=True)
        return self._give([]) if self._held else ""

    def _give(self, context: list[int]) -> str:
        piece = self._decode([*self._context, *self._held])[len(self._shown) :]
        self._context, self._held = context, []
        self._shown = self._decode(context)
        return piece

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False)) if ids else ""


class Stops:
    """Text up to the first of some strings, which may lie across pieces.

    No part of a stop string is ever given: text that may be the beginning of one is held back. Of
    several strings the one that is complete first counts, and of those the one that begins first.
    Raises ValueError for an empty string.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        if "" in strings:
            raise ValueError("an empty stop string would stop every text before it begins")
        self._strings = tuple(strings)
        self._held = ""
        self.met = False

    def push(self, piece: str) -> str:
        """What of the text is given now. Nothing after `met`."""
        if self.met:
            return ""
        text = self._held + piece
        found = [
            (text.find(one) + len(one), text.find(one)) for one in self._strings if one in text
        ]
        if found:
            self.met, self._held = True, ""
            return text[: min(found)[1]]
        longest = max((len(one) for one in self._strings), default=1) - 1
        kept = next(
            (
                count
                for count in range(min(longest, len(text)), 0, -1)
                if any(one.startswith(text[-count:]) for one in self._strings)
            ),
            0,
        )
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]

    def finish(self) -> str:
        """What was held back and was no stop string after all."""
        held, self._held = self._held, ""
        return held


def _special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    added = tokenizer.get_added_tokens_decoder()
    return frozenset(number for number, token in added.items() if token.special)


def _decoder_kinds(tokenizer: Tokenizer) -> list[str]:
    """The types of a tokenizer's decoder, those within a sequence one by one."""
    decoder = tokenizer.decoder
    if decoder is None:
        return []
    return list(_types(json.loads(decoder.__getstate__())))


def _types(described: dict[str, Any]) -> list[str]:
    if described["type"] == "Sequence":
        return [name for part in described["decoders"] for name in _types(part)]
    return [described["type"]]


def _bytes_of(spelled: str) -> bytes:
    """What ByteLevel makes of a token: the bytes that its characters stand for, or itself."""
    table = _byte_table()
    try:
        return bytes([table[character] for character in spelled])
    except KeyError:  # an added token
        return spelled.encode()


@cache
def _byte_table() -> dict[str, int]:
    """The bytes by the characters that stand for them (GPT-2's): printable ones for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}

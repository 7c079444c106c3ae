"""llama2.c's tokenizer file: a SentencePiece BPE vocabulary without the rules.

Layout, little-endian: int32 length of the longest token, then for each token float32 score, int32
length, and its bytes (karpathy/llama2.c, tokenizer.py).
"""

import struct
from pathlib import Path

from tokenizers import Tokenizer

from llm.step import BadInput
from llm.tokens.formats.sentencepiece import BLANK, BPE, Kind, Piece, Rules, tokenizer_of

# The first tokens are these, then one for each byte.
FIRST = (("<unk>", Kind.UNKNOWN), ("<s>", Kind.CONTROL), ("</s>", Kind.CONTROL))


def read_llama2c(path: Path) -> Tokenizer:
    """The tokenizer of such a file: ids are places in it. Raises BadInput for other files."""
    data = path.read_bytes()
    pieces: list[Piece] = []
    at = 4
    try:
        while at < len(data):
            score, size = struct.unpack_from("<fi", data, at)
            at += 8 + size
            if size < 0 or at > len(data):
                raise ValueError(f"token {len(pieces)} is cut short")
            text = data[at - size : at].decode()
            pieces.append(_piece(len(pieces), text, score))
        if len(pieces) < len(FIRST) + 256:
            raise ValueError(f"it has {len(pieces)} tokens, fewer than there are bytes")
    except (struct.error, ValueError) as error:
        raise BadInput(f"{path} is not a llama2.c tokenizer: {error}") from error
    return tokenizer_of(pieces, BPE, Rules())


def _piece(number: int, text: str, score: float) -> Piece:
    if number < len(FIRST):
        name, kind = FIRST[number]
        return Piece(name, score, kind)
    byte = number - len(FIRST)
    if byte < 256:
        return Piece(f"<0x{byte:02X}>", score, Kind.BYTE)
    return Piece(text.replace(" ", BLANK), score)

"""The tokenizer of the reference model stories260K, for outside checks."""

import struct
from pathlib import Path

import numpy as np

BEGIN = 1


class StoryTokenizer:
    """llama2.c's encoder: characters, then the best-scored neighbours merged, again and again."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        self.ids: dict[bytes, int] = {}
        self.pieces: list[tuple[bytes, float]] = []
        place = 4
        while place < len(data):
            score, length = struct.unpack_from("<fi", data, place)
            piece = data[place + 8 : place + 8 + length]
            place += 8 + length
            self.ids.setdefault(piece, len(self.pieces))
            self.pieces.append((piece, score))

    def encode(self, text: str) -> np.ndarray:
        """Ids after the beginning token, with the space that stands before every text: (n,)."""
        ids: list[int] = []
        for character in " " + text:
            encoded = character.encode()
            known = self.ids.get(encoded)
            ids += [known] if known is not None else [byte + 3 for byte in encoded]
        while True:
            best: tuple[float, int, int] | None = None
            for place in range(len(ids) - 1):
                joined = self.pieces[ids[place]][0] + self.pieces[ids[place + 1]][0]
                found = self.ids.get(joined)
                if found is not None and (best is None or self.pieces[found][1] > best[0]):
                    best = (self.pieces[found][1], place, found)
            if best is None:
                return np.array([BEGIN, *ids], dtype=np.int64)
            ids[best[1] : best[1] + 2] = [best[2]]

    def decode(self, ids: list[int]) -> bytes:
        """The text of ids; 3 to 258 are the bytes themselves, whatever their spelling."""
        pieces = (
            bytes([number - 3]) if 3 <= number < 259 else self.pieces[number][0] for number in ids
        )
        return b"".join(pieces).removeprefix(b" ")

"""The reference model stories260K (llama2.c's .bin layout) and its tokenizer, for outside checks."""

import struct
from pathlib import Path

import numpy as np
import torch

from llm.models.config import DecoderConfig
from llm.models.decoder import Decoder

BEGIN = 1


def load_model(path: Path) -> Decoder:
    """Seven int32 of sizes, then float32 weights, each kind for all layers together."""
    data = path.read_bytes()
    width, hidden, layers, heads, kv_heads, vocabulary, context = struct.unpack("<7i", data[:28])
    head_dim = width // heads
    config = DecoderConfig(
        vocabulary=vocabulary,
        layers=layers,
        d_model=width,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        hidden=hidden,
        context_length=context,
        rope_theta=10_000.0,
        norm_epsilon=1e-5,
        tie_embeddings=True,
        qk_norm=False,
    )
    values = np.frombuffer(data, "<f4", offset=28)
    taken = 0

    def take(*shape: int) -> torch.Tensor:
        nonlocal taken
        size = int(np.prod(shape))
        part = values[taken : taken + size].reshape(shape).copy()
        taken += size
        return torch.from_numpy(part)

    def halves(weight: torch.Tensor) -> torch.Tensor:
        """Rotary pairs stand beside each other there, and half a head apart in our layout."""
        pairs = weight.view(-1, head_dim // 2, 2, width)
        return pairs.transpose(1, 2).reshape(weight.shape)

    kinds = {
        "embedding": take(vocabulary, width),
        "attention_norm": take(layers, width),
        "attention.query": take(layers, width, width),
        "attention.key": take(layers, kv_heads * head_dim, width),
        "attention.value": take(layers, kv_heads * head_dim, width),
        "attention.output": take(layers, width, width),
        "feed_forward_norm": take(layers, width),
        "feed_forward.gate": take(layers, hidden, width),
        "feed_forward.down": take(layers, width, hidden),
        "feed_forward.up": take(layers, hidden, width),
        "norm": take(width),
    }
    state = {"embedding": kinds.pop("embedding"), "norm.weight": kinds.pop("norm")}
    for kind, tensor in kinds.items():
        for layer in range(layers):
            turned = kind in ("attention.query", "attention.key")
            weight = halves(tensor[layer]) if turned else tensor[layer]
            state[f"blocks.{layer}.{kind}.weight"] = weight
    model = Decoder(config)
    model.load_state_dict(state)
    return model.eval()


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

"""A peer of `benchmarks/training.py`: nanoGPT's model in a few words of our own.

GPT-2's blocks without biases, learned positions, a tied head, all logits at once,
scaled_dot_product_attention. Run as `peer_loop` says.
"""

import math

import peer_loop
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Norm(nn.Module):
    """LayerNorm with a weight and no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, None, 1e-5)


class Block(nn.Module):
    """Attention and a GELU layer four times as wide, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = Norm(width), Norm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.before(x)).split(width, dim=2)
        )
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.between(x))))


class Model(nn.Module):
    """Embeddings, blocks, a norm, and the head that shares the embeddings' weights."""

    def __init__(self, job: peer_loop.Job) -> None:
        super().__init__()
        width, layers = job["d_model"], job["layers"]
        self.tokens = nn.Embedding(job["vocabulary"], width)
        self.positions = nn.Embedding(job["context_length"], width)
        self.blocks = nn.ModuleList(Block(width, job["heads"]) for _ in range(layers))
        self.norm = Norm(width)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                residual = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * layers) if residual else 1))

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def make(job: peer_loop.Job) -> tuple[nn.Module, peer_loop.Loss]:
    """The model, and its mean loss as the job's precision computes it."""
    bare = Model(job)
    model = torch.compile(bare) if job["compile"] else bare

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        with peer_loop.precision(job):
            mean: Tensor = model(tokens, targets)
        return mean

    return bare, loss


if __name__ == "__main__":
    peer_loop.run(make, decay_vectors=False)

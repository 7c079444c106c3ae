"""A peer of `benchmarks/training.py`: litgpt's GPT with its own chunked cross-entropy.

The sizes are the job's; what litgpt's model has no choice of stays its own (rotary positions, a head
that is not tied). Mixed precision as its `pretrain` has it: autocast, logits made float32. Run as
`peer_loop` says, under a Python that has litgpt.
"""

import peer_loop
import torch
from litgpt import GPT, Config
from litgpt.utils import chunked_cross_entropy
from torch import Tensor, nn


def make(job: peer_loop.Job) -> tuple[nn.Module, peer_loop.Loss]:
    """The model, and its mean loss as the job's precision computes it."""
    config = Config(
        block_size=job["context_length"],
        n_layer=job["layers"],
        n_embd=job["d_model"],
        n_head=job["heads"],
        vocab_size=job["vocabulary"],
        padded_vocab_size=job["vocabulary"],
        bias=False,
        parallel_residual=False,
    )
    bare = GPT(config)
    model = torch.compile(bare) if job["compile"] else bare

    def loss(tokens: Tensor, targets: Tensor) -> Tensor:
        with peer_loop.precision(job):
            logits = model(tokens)
        mean: Tensor = chunked_cross_entropy(logits.float(), targets)
        return mean

    return bare, loss


if __name__ == "__main__":
    peer_loop.run(make, decay_vectors=True)

"""Random everything, norms and biases too, so that no weight can be left out or swapped unseen."""

import torch


def randomise(model: torch.nn.Module, scale: float = 0.2, seed: int = 1) -> None:
    """Set every parameter to normal numbers round 0.05, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale + 0.05)

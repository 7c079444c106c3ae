"""Where training computes, and in which type."""

import torch

from llm.step import BadInput


def choose(name: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`. Raises BadInput when it is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise BadInput(f"machine.device is {name!r}: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("machine.device is cuda, but PyTorch finds no GPU here: choose auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def compute_type(precision: str, device: torch.device) -> torch.dtype:
    """The type of activations: `auto` is bfloat16 where the hardware multiplies it, else float32.

    A processor without such instructions is some 50 times slower in bfloat16 than in float32.
    """
    if precision == "auto":
        if device.type == "cuda":
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            features = torch.cpu.get_capabilities()
            native = bool(features.get("avx512_bf16") or features.get("amx_bf16"))
        precision = "bf16" if native else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32

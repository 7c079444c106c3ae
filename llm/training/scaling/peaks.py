"""What devices can do at most: dense bfloat16 operations a second, from their data sheets.

Figures without sparsity, with float32 accumulation; NVIDIA's sheets print twice as much for sparse
matrices. A device that is not here has no known peak, and no utilisation is told of it.
"""

# The first that a device's name contains counts, so longer names stand before what they contain.
PEAKS = (
    ("H200", 989e12),  # NVIDIA H200 data sheet
    ("H100 PCIe", 756e12),  # NVIDIA H100 data sheet, PCIe
    ("H100 NVL", 835e12),  # NVIDIA H100 data sheet, NVL
    ("H100", 989e12),  # NVIDIA H100 data sheet, SXM
    ("H800", 989e12),  # the H100's arithmetic with narrower links
    ("B200", 2250e12),  # NVIDIA Blackwell architecture brief, HGX B200
    ("A100", 312e12),  # NVIDIA A100 data sheet
    ("A800", 312e12),  # the A100's arithmetic with narrower links
    ("A40", 149.7e12),  # NVIDIA A40 data sheet
    ("A30", 165e12),  # NVIDIA A30 data sheet
    ("A10G", 70e12),  # AWS's G5: the A10's chip at lower power
    ("A10", 125e12),  # NVIDIA A10 data sheet
    ("L40S", 362e12),  # NVIDIA L40S data sheet
    ("L40", 181e12),  # NVIDIA L40 data sheet
    ("L4", 121e12),  # NVIDIA L4 data sheet
    ("RTX 4090", 165.2e12),  # NVIDIA Ada architecture white paper, appendix A
    ("RTX 3090", 71e12),  # NVIDIA Ampere GA102 white paper, appendix A
)


def peak_flops(name: str) -> float | None:
    """Dense bfloat16 operations a second of the device that its driver calls `name`."""
    words = f" {name.replace('-', ' ')} "
    for model, peak in PEAKS:
        if f" {model} " in words:
            return peak
    return None

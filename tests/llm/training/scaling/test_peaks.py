"""Peaks by the names that drivers give."""

import pytest

from llm.training.scaling.peaks import peak_flops


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA A1000", None),
        ("Tesla T4", None),
    ],
)
def test_a_device_has_its_own_peak_or_none(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak

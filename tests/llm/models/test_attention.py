"""Attention against its formula and PyTorch's, rotary positions against transformers'."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

from llm.models.attention import attend, rotary_table, rotate
from llm.models.block_attention import block_attention
from llm.models.layers import RMSNorm


def projections(heads: int, kv_heads: int, length: int) -> list[Tensor]:
    """Queries, keys and values (2, H or K, T, 8), as transposed as a model hands them over."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, length, count, 8, generator=generator).transpose(1, 2).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]


def formula(queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V, each pair of heads written out."""
    groups = queries.shape[1] // keys.shape[1]
    outputs = []
    for head in range(queries.shape[1]):
        q, k, v = queries[:, head], keys[:, head // groups], values[:, head // groups]
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        outputs.append(torch.softmax(scores.masked_fill(~allowed, -torch.inf), dim=-1) @ v)
    return torch.stack(outputs, dim=1)


@pytest.mark.parametrize("length", [1, 63, 64, 65, 200])  # blocks are 64 queries
@pytest.mark.parametrize("heads, kv_heads", [(2, 2), (4, 2), (3, 1)])
def test_block_attention_and_its_gradients_equal_the_formula_and_pytorch(
    length: int, heads: int, kv_heads: int
) -> None:
    tensors = projections(heads, kv_heads, length)
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    upstream = torch.randn(2, heads, length, 8, generator=torch.Generator().manual_seed(1))
    found = block_attention(*tensors)
    gradients = torch.autograd.grad(found, tensors, upstream)
    for expected in (
        formula(*tensors, causal),
        F.scaled_dot_product_attention(*tensors, is_causal=True, enable_gqa=True),
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        wanted = torch.autograd.grad(expected, tensors, upstream)
        torch.testing.assert_close(gradients, wanted, atol=1e-5, rtol=1e-5)


def test_segments_see_only_themselves() -> None:
    tensors = projections(4, 2, 12)
    segments = torch.tensor([[1] * 5 + [2] * 4 + [0] * 3, [1] * 12])
    same = segments[:, :, None] == segments[:, None, :]
    allowed = same & torch.ones(12, 12, dtype=torch.bool).tril()
    torch.testing.assert_close(attend(*tensors, segments), formula(*tensors, allowed))


def test_the_last_queries_of_a_row_see_all_keys_before_them() -> None:
    queries, keys, values = projections(4, 2, 12)
    whole = attend(queries, keys, values, None)
    torch.testing.assert_close(attend(queries[:, :, 7:], keys, values, None), whole[:, :, 7:])


def test_rotation_and_its_gradient_equal_transformers() -> None:
    x = torch.randn(2, 10, 3, 8, requires_grad=True)  # (B, T, H, D)
    table = rotary_table(10, 8, theta=100.0)
    cos, sin = torch.cat((table, table), dim=-1)
    expected, _ = apply_rotary_pos_emb(x.transpose(1, 2), x.transpose(1, 2), cos[None], sin[None])
    found = rotate(x, table)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, x, upstream), torch.autograd.grad(expected, x, upstream)
    )


def test_scores_of_rotated_vectors_hang_on_the_distance_only() -> None:
    query, key = torch.randn(8), torch.randn(8)
    table = rotary_table(50, 8, theta=10_000.0)
    turned = [rotate(x.expand(1, 50, 1, 8), table)[0, 0] for x in (query, key)]
    scores = turned[0] @ turned[1].T  # (50, 50)
    for distance in (0, 3, 20):
        same = scores.diagonal(-distance)
        torch.testing.assert_close(same, same[:1].expand_as(same), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [(7, 16), (2, 5, 3, 16)])
def test_rms_norm_and_its_gradients_equal_pytorch(shape: tuple[int, ...]) -> None:
    norm = RMSNorm(16, epsilon=1e-3)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(shape, requires_grad=True)
    found, expected = norm(x), F.rms_norm(x, (16,), norm.weight, 1e-3)
    torch.testing.assert_close(found, expected)
    upstream = torch.randn(shape)
    torch.testing.assert_close(
        torch.autograd.grad(found, (x, norm.weight), upstream),
        torch.autograd.grad(expected, (x, norm.weight), upstream),
    )


def test_in_bfloat16_a_norm_is_computed_in_float32() -> None:
    norm = RMSNorm(512, epsilon=1e-6)
    torch.nn.init.ones_(norm.weight)
    x = (torch.randn(4, 512) + 30).bfloat16()
    assert torch.equal(norm(x), F.rms_norm(x.float(), (512,)).bfloat16())

"""Attention against its formula and PyTorch's, rotary positions against transformers'."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

from llm.models.attention import attend
from llm.models.block_attention import block_attention
from llm.models.mask import Mask, cross_mask, places, self_mask
from llm.models.norms import LayerNorm, RMSNorm
from llm.models.rotary import rotary_table, rotate


def projections(heads: int, kv_heads: int, length: int) -> list[Tensor]:
    """Queries, keys and values (2, H or K, T, 8), as transposed as a model hands them over."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, length, count, 8, generator=generator).transpose(1, 2).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]


def formula(
    queries: Tensor, keys: Tensor, values: Tensor, allowed: Tensor, cap: float | None = None
) -> Tensor:
    """softmax(Q K^T / sqrt(D)) V, each pair of heads written out; zeros where nothing is seen."""
    groups = queries.shape[1] // keys.shape[1]
    outputs = []
    for head in range(queries.shape[1]):
        q, k, v = queries[:, head], keys[:, head // groups], values[:, head // groups]
        scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
        scores = scores if cap is None else cap * torch.tanh(scores / cap)
        weights = scores.exp() * allowed
        outputs.append(weights / weights.sum(-1, keepdim=True).clamp(min=1e-30) @ v)
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


SEGMENTS = torch.tensor([[1] * 5 + [2] * 4 + [0] * 3, [1] * 12])
SOURCES = torch.tensor([[1] * 3 + [2] * 2 + [0] * 2, [1] * 4 + [0] * 3])


def by_brute_force(
    causal: bool, window: int | None, segments: Tensor | None, length: int = 12, seen: int = 12
) -> Tensor:
    """Which key each query may see (2, T, S), pair by pair."""
    allowed = torch.zeros(2, length, seen, dtype=torch.bool)
    for row in range(2):
        for query in range(length):
            for key in range(seen):
                distance = query + seen - length - key
                sees = distance >= 0 or not causal
                sees &= window is None or abs(distance) < window
                if segments is not None:
                    sees &= bool(segments[row, query + seen - length] == segments[row, key])
                allowed[row, query, key] = sees
    return allowed


def assert_attention_equals(
    tensors: list[Tensor], mask: Mask, allowed: Tensor, soft_cap: float | None = None
) -> None:
    """Values and gradients against the formula, and against PyTorch's where it can do the mask."""
    found = attend(*tensors, mask, soft_cap)
    upstream = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad(found, tensors, upstream)
    wanted = [formula(*tensors, allowed, soft_cap)]
    if soft_cap is None and allowed.any(-1).all():
        everywhere = allowed[:, None]
        wanted.append(
            F.scaled_dot_product_attention(*tensors, attn_mask=everywhere, enable_gqa=True)
        )
    for expected in wanted:
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            gradients, torch.autograd.grad(expected, tensors, upstream), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize("soft_cap", [None, 0.5])
@pytest.mark.parametrize("segments", [None, SEGMENTS])
@pytest.mark.parametrize("window", [None, 1, 3, 12])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_under_every_mask_equals_the_formula_and_pytorch(
    causal: bool, window: int | None, segments: Tensor | None, soft_cap: float | None
) -> None:
    mask = self_mask(12, 12, causal, window, segments, torch.device("cpu"))
    allowed = by_brute_force(causal, window, segments)
    assert_attention_equals(projections(4, 2, 12), mask, allowed, soft_cap)


@pytest.mark.parametrize("soft_cap", [None, 0.5])
@pytest.mark.parametrize("segments, sources", [(None, None), (SEGMENTS, SOURCES), (None, SOURCES)])
def test_targets_see_the_sources_of_their_own_segment(
    segments: Tensor | None, sources: Tensor | None, soft_cap: float | None
) -> None:
    queries, _, _ = projections(4, 2, 12)
    _, keys, values = projections(4, 2, 7)
    targets = torch.ones(2, 12) if segments is None else segments
    seen = torch.ones(2, 7) if sources is None else sources
    allowed = targets[:, :, None] == seen[:, None, :]
    mask = cross_mask(segments, sources)
    assert_attention_equals([queries, keys, values], mask, allowed, soft_cap)


def test_a_target_without_a_source_gets_zeros_and_no_gradient_that_is_no_number() -> None:
    tensors = projections(4, 2, 12)
    sources = SEGMENTS.clone()
    sources[0] = 7  # row 0 has nothing to look at
    found = attend(*tensors, cross_mask(SEGMENTS, sources))
    assert not found[0].any() and found[1].any()
    for gradient in torch.autograd.grad(found.sum(), tensors):
        assert gradient.isfinite().all()


@pytest.mark.parametrize("window", [None, 4])
def test_the_last_queries_of_a_row_see_what_they_see_in_the_whole_row(window: int | None) -> None:
    queries, keys, values = projections(4, 2, 12)
    device = torch.device("cpu")
    whole = attend(queries, keys, values, self_mask(12, 12, True, window, None, device))
    for start in (7, 11):
        mask = self_mask(12 - start, 12, True, window, None, device)
        found = attend(queries[:, :, start:], keys, values, mask)
        torch.testing.assert_close(found, whole[:, :, start:])


def test_dropout_zeroes_weights_and_keeps_their_mean() -> None:
    queries, keys = torch.randn(2, 2, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    values = torch.eye(12).expand(2, 2, 12, 12)  # the answer is the weights themselves
    mask = self_mask(12, 12, True, None, None, torch.device("cpu"))
    whole = attend(queries, keys, values, mask)
    torch.manual_seed(0)
    for cap in (None, 50.0):
        drawn = torch.stack([attend(queries, keys, values, mask, cap, 0.3) for _ in range(600)])
        assert (drawn == 0).float().mean() > 0.5  # half were never seen, and 0.3 of the others
        torch.testing.assert_close(drawn.mean(0), whole, atol=0.08, rtol=0)


def test_places_begin_anew_in_each_segment() -> None:
    assert places(torch.tensor([[1, 1, 1, 2, 2, 0, 0]])).tolist() == [[0, 1, 2, 0, 1, 0, 1]]


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


@pytest.mark.parametrize("bias", [True, False])
def test_layer_norm_is_pytorchs_and_in_bfloat16_computed_in_float32(bias: bool) -> None:
    norm = LayerNorm(512, 1e-5, bias)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(4, 512) + 30
    torch.testing.assert_close(
        norm(x), F.layer_norm(x, (512,), norm.weight, norm.bias, 1e-5), atol=1e-5, rtol=1e-5
    )
    low = x.bfloat16()
    wanted = F.layer_norm(low.float(), (512,), norm.weight, norm.bias, 1e-5)
    torch.testing.assert_close(norm(low).float(), wanted, atol=1e-5, rtol=2**-8)  # rounded once

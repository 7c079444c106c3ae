"""Kernels against PyTorch's own operations and their gradients, in float32 and in bfloat16."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from llm.models.kernels import operations, products, softmax_operations
from llm.models.kernels.choices import Drop
from llm.models.kernels.operations import Heads, Norm
from llm.models.processor import has_amx
from llm.models.rotary import rotary_table, rotate

# Relative to the largest number: float32's sums, and half a unit of bfloat16's last place.
TOLERANCE = {torch.float32: 3e-6, torch.bfloat16: 5e-3}
types = pytest.mark.parametrize("dtype", TOLERANCE, ids=["float32", "bfloat16"])


def normal(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def learned(x: Tensor) -> Tensor:
    """A wide copy to be differentiated."""
    return x.detach().double().requires_grad_()


def assert_close(found: Tensor | None, expected: Tensor | None, dtype: torch.dtype) -> None:
    assert found is not None and expected is not None
    expected = expected.detach().double()
    error = (found.double() - expected).abs().max() / expected.abs().max()
    assert error <= TOLERANCE[dtype]


@types
@pytest.mark.parametrize("name", ["gelu", "gelu_tanh", "relu2"])
def test_activations_and_slopes(name: str, dtype: torch.dtype) -> None:
    x = torch.cat((normal(1001) * 3, torch.tensor([0.0, -0.0, -30.0, 30.0]))).to(dtype)
    wide = learned(x)
    expected = {
        "gelu": lambda: F.gelu(wide),
        "gelu_tanh": lambda: F.gelu(wide, approximate="tanh"),
        "relu2": lambda: F.relu(wide).square(),
    }[name]()
    expected.sum().backward()
    y, slope = operations.activate(x, name)
    assert_close(y, expected, dtype)
    assert_close(slope, wide.grad, dtype)
    gradient = normal(len(x), dtype=dtype, seed=1)
    assert_close(operations.times(slope, gradient), slope.double() * gradient.double(), dtype)


@types
def test_swiglu_and_its_slopes(dtype: torch.dtype) -> None:
    gate, up = normal(37, 11, dtype=dtype), normal(37, 11, dtype=dtype, seed=1)
    wide_gate, wide_up = learned(gate), learned(up)
    expected = F.silu(wide_gate) * wide_up
    expected.sum().backward()
    y, gate_slope, up_slope = operations.swiglu(gate, up)
    assert_close(y, expected, dtype)
    assert_close(gate_slope, wide_gate.grad, dtype)
    assert_close(up_slope, wide_up.grad, dtype)


@types
@pytest.mark.parametrize("based", [False, True])
@pytest.mark.parametrize("kind", ["rms", "layer", "layer without bias"])
def test_norms_and_their_slopes(kind: str, based: bool, dtype: torch.dtype) -> None:
    width = 35
    x, weight, bias = normal(13, width, dtype=dtype), normal(width, seed=1), normal(width, seed=2)
    slope, base = normal(13, width, dtype=dtype, seed=3), normal(13, width, dtype=dtype, seed=4)
    norm = Norm(weight, bias if kind == "layer" else None, 1e-5, kind != "rms")
    wide, wide_weight, wide_bias = learned(x), learned(weight), learned(bias)
    if kind == "rms":
        expected = F.rms_norm(wide, (width,), wide_weight, 1e-5)
    else:
        shift = wide_bias if kind == "layer" else None
        expected = F.layer_norm(wide, (width,), wide_weight, shift, 1e-5)
    expected.backward(slope.double())
    y, statistics = operations.norm(x, norm)
    grad_x, grad_weight, grad_bias = operations.norm_slopes(
        slope, x, norm, statistics, base if based else None
    )
    assert wide.grad is not None
    assert_close(y, expected, dtype)
    assert_close(grad_x, wide.grad + base.double() if based else wide.grad, dtype)
    assert_close(grad_weight, wide_weight.grad, torch.float32)
    if kind == "layer":
        assert_close(grad_bias, wide_bias.grad, torch.float32)
    else:
        assert grad_bias is None


@types
@pytest.mark.parametrize("normed", [False, True])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_heads_are_parted_normalised_turned_and_scaled(
    kv_heads: int, turned: bool, normed: bool, dtype: torch.dtype
) -> None:
    batch, length, count, width = 2, 5, 4, 6
    packed = normal(batch * length, (count + 2 * kv_heads) * width, dtype=dtype)
    weights = (normal(width, seed=1), normal(width, seed=2)) if normed else (None, None)
    heads = Heads(count, kv_heads, width, weights, 1e-6)
    rotary = rotary_table(length, width, 100.0) if turned else None

    wide = learned(packed)
    wide_weights = [learned(one) for one in weights if one is not None]
    parts = list(wide.view(batch, length, -1, width).split((count, kv_heads, kv_heads), dim=2))
    for at, weight in enumerate(wide_weights):
        parts[at] = F.rms_norm(parts[at], (width,), weight, 1e-6)
    if rotary is not None:
        cos, sin = rotary.double()
        for at in (0, 1):
            first, second = parts[at].transpose(1, 2).chunk(2, dim=-1)
            turned_halves = first * cos - second * sin, second * cos + first * sin
            parts[at] = torch.cat(turned_halves, dim=-1).transpose(1, 2)
    expected = [part.transpose(1, 2) for part in parts]
    expected[0] = expected[0] * width**-0.5

    *found, scales = operations.part_heads(packed, heads, length, rotary)
    slopes = [normal(*one.shape, dtype=dtype, seed=9) for one in found]
    torch.autograd.backward(expected, [slope.double() for slope in slopes])
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, dtype)
    joined = torch.empty_like(packed)
    sums = (torch.zeros(width), torch.zeros(width)) if normed else (None, None)
    operations.join_heads(joined, tuple(slopes), packed, heads, rotary, scales, sums)  # type: ignore[arg-type]
    assert_close(joined, wide.grad, dtype)
    for one, weight in zip(sums, wide_weights, strict=False):
        assert_close(one, weight.grad, torch.float32)


def test_rotation_is_that_of_plain_passes() -> None:
    packed, rotary = normal(7, 3 * 8), rotary_table(7, 8, 1e4)
    queries, *_ = operations.part_heads(packed, Heads(1, 1, 8), 7, rotary)
    plain = rotate(packed.view(1, 7, 3, 8)[:, :, :1], rotary) * 8**-0.5
    torch.testing.assert_close(queries, plain)


@types
def test_softmax_of_what_a_query_sees(dtype: torch.dtype) -> None:
    block, keys = 5, 13
    scores = normal(3, 2 * block, keys, dtype=dtype) * 4
    mask = torch.full((block, block), -torch.inf).triu(1)
    wide = learned(scores)
    hidden = torch.zeros(2 * block, keys)
    hidden[:, -block:] = mask.repeat(2, 1)
    expected = torch.softmax(wide + hidden, dim=-1)
    slope = normal(*scores.shape, dtype=dtype, seed=1)
    expected.backward(slope.double())
    weights = softmax_operations.masked_softmax(scores.clone(), block)
    assert_close(weights, expected, dtype)
    assert (weights[:, 0, -block + 1 :] == 0).all()
    assert_close(softmax_operations.softmax_slopes(weights, slope.clone()), wide.grad, dtype)


@types
def test_softmax_over_as_many_keys_as_there_are_with_weights_dropped(dtype: torch.dtype) -> None:
    scores, lengths = normal(6, 7, 19, dtype=dtype) * 4, torch.tensor([19, 1, 8])
    drop = Drop(0.3, 12345678901234567)
    left = scores.clone()
    weighing = softmax_operations.masked_softmax(left, None, lengths, drop)
    seen = (torch.arange(19) < lengths[:, None]).repeat_interleave(2, 0)[:, None]
    kept = (left > 0).double()
    wide = learned(scores)
    expected = torch.softmax(wide.masked_fill(~seen, -torch.inf), dim=-1) * kept / 0.7
    slope = normal(*scores.shape, dtype=dtype, seed=1)
    expected.backward(slope.double())
    assert_close(weighing, expected, dtype)
    assert 0.2 < float((left < 0).sum() / seen.expand_as(left).sum()) < 0.4
    assert_close(softmax_operations.kept_weights(left, drop), expected, dtype)
    assert_close(softmax_operations.softmax_slopes(left, slope.clone(), drop), wide.grad, dtype)


@types
def test_dropout_zeroes_its_share_and_nothing_depends_on_how_rows_are_cut(
    dtype: torch.dtype,
) -> None:
    drop, rows = Drop(0.25, 987654321987654321), 4000
    ones = torch.ones(rows, 64, dtype=dtype)
    made = operations.drop(ones, drop)
    kept = made != 0
    assert torch.equal(made[kept], torch.full_like(made[kept], 4 / 3))
    # 6 standard deviations: of all, of each column, and of pairs side by side and below each other
    assert abs(float(kept.double().mean()) - 0.75) < 6 * (0.1875 / kept.numel()) ** 0.5
    assert (kept.double().mean(0) - 0.75).abs().max() < 6 * (0.1875 / rows) ** 0.5
    for one, other in ((kept[:, 1:], kept[:, :-1]), (kept[1:], kept[:-1])):
        both = (one & other).double().mean()
        assert abs(float(both) - 0.5625) < 6 * (0.2461 / one.numel()) ** 0.5
    assert not torch.equal(kept, operations.drop(ones, drop.after(1)) != 0)
    places = torch.tensor([3, 17, 3999])
    base = normal(3, 64, dtype=dtype)
    assert_close(operations.drop(ones[:3], drop, base, places), base + made[places], dtype)


@types
def test_rows_go_to_heads_and_back(dtype: torch.dtype) -> None:
    rows, places = normal(9, 2 * 5, dtype=dtype), torch.tensor([[8, 0, 3], [5, -1, -1]])
    heads = operations.to_heads(rows, torch.Size((2, 2, 3, 5)), places)
    expected = rows.view(9, 2, 5)[places.clamp(min=0)] * (places >= 0)[:, :, None, None]
    assert torch.equal(heads, expected.transpose(1, 2).to(dtype))
    back = torch.zeros_like(rows)
    operations.to_rows(heads, back, places)
    there = places[places >= 0]
    assert torch.equal(back[there], rows[there])
    assert int((back != 0).any(1).sum()) == len(there)
    total = normal(10, seed=1)
    summed = total + rows.float().sum(0)
    operations.add_rows(total, rows)
    assert_close(total, summed, torch.float32)


@types
def test_dimensions_are_exchanged_and_sums_add_up(dtype: torch.dtype) -> None:
    x = normal(2, 3, 5, 7, dtype=dtype)
    exchanged = torch.empty(10, 3 * 7, dtype=dtype)
    operations.to_rows(x, exchanged, None)
    assert torch.equal(exchanged.view(2, 5, 3, 7), x.transpose(1, 2))
    assert torch.equal(operations.to_heads(exchanged, x.shape, None), x)
    total = normal(210, seed=1)
    expected = total + x.flatten().float()
    operations.add(total, x)
    assert torch.equal(total, expected)


@types
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("biased", [False, True])
def test_logits_become_their_slopes(biased: bool, z_loss: float, dtype: torch.dtype) -> None:
    rows, words, ignore = 9, 77, -100
    logits, bias = normal(rows, words, dtype=dtype) * 3, normal(words, seed=1)
    targets = torch.arange(rows) * 8
    targets[4] = ignore
    wide, wide_bias = learned(logits), learned(bias)
    shifted = wide + wide_bias if biased else wide
    nats = F.cross_entropy(shifted, targets, ignore_index=ignore, reduction="sum")
    squares = (shifted.logsumexp(1).square() * (targets != ignore)).sum()
    (nats + z_loss * squares).backward()

    factors, grad_bias = torch.empty(rows), torch.zeros(words)
    loss = operations.cross_entropy(
        logits, targets, ignore, bias if biased else None, z_loss, factors, grad_bias if biased else None
    )  # fmt: skip
    assert loss == pytest.approx(float(nats.detach()), rel=1e-6)
    assert_close(logits.float() * factors[:, None], wide.grad, dtype)
    assert (factors[4] == 0) and (logits[4] == 0).all()
    if biased:
        assert_close(grad_bias, wide_bias.grad, dtype)


@types
@pytest.mark.parametrize("bad", [float("nan"), -float("nan")])
def test_what_is_not_a_number_stays_so(bad: float, dtype: torch.dtype) -> None:
    """A trainer finds out about a divergence by its loss."""
    logits = normal(1, 40, dtype=dtype)
    logits[0, 33] = bad
    targets, factors = torch.tensor([3]), torch.empty(1)
    loss = operations.cross_entropy(logits, targets, -100, None, 0.0, factors, None)  # fmt: skip
    assert loss.isnan()
    scores = normal(1, 4, 4, dtype=dtype)
    scores[0, 3, 1] = bad
    assert softmax_operations.masked_softmax(scores, None)[0, 3].isnan().any()
    assert operations.activate(torch.tensor([bad], dtype=dtype), "gelu")[0].isnan().all()


def test_tensors_in_pieces_are_refused() -> None:
    with pytest.raises(ValueError, match="strides"):
        operations.to_rows(normal(2, 3, 5, 7).transpose(1, 2), torch.empty(6, 35), None)


@pytest.mark.skipif(not has_amx(), reason="the processor has no AMX: products are PyTorch's")
def test_products_add_up_in_float32() -> None:
    left, right = (normal(300, width, dtype=torch.bfloat16) for width in (96, 40))
    total = normal(64, 40, seed=1)
    expected = total.double() + left[:, 16:80].double().T @ right.double()
    assert products.can_add(total, left[:, 16:80], right)
    products.add_product(total, left[:, 16:80], right)
    assert_close(total, expected, torch.float32)


@pytest.mark.parametrize("shape", ["expanded", "overlapping"])
def test_products_of_rows_that_share_memory_are_pytorchs(shape: str) -> None:
    wide = normal(64, 8, dtype=torch.bfloat16)
    left = wide[:1].expand(8, 8) if shape == "expanded" else wide.as_strided((8, 8), (1, 1))
    assert not products.can_add(torch.zeros(8, 8), left, wide[:8])

"""The CNN against torch's convolution, and what a prediction sees."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from llm.models.baselines.cnn import CNN, CausalConvolution
from llm.models.baselines.config import CNNSettings

VOCABULARY = 23


def made(**changes: Any) -> CNN:
    settings = CNNSettings(**{"layers": 3, "d_model": 12, "kernel": 2, "cycle": 3, **changes})
    model = CNN(settings.resolve(VOCABULARY))
    model.initialise(1)
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in model.layers:  # at first every layer is the identity
            layer.output.weight.normal_(generator=random)
    return model


def rows(length: int, batch: int = 2) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, (batch, length), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(("kernel", "dilation", "length"), [(2, 1, 9), (3, 2, 9), (3, 8, 5)])
def test_a_convolution_is_torchs_over_inputs_padded_on_the_left(
    kernel: int, dilation: int, length: int
) -> None:
    convolution = CausalConvolution(4, 6, kernel, dilation)
    torch.nn.init.normal_(convolution.taps.weight)
    x = torch.randn(2, length, 4)
    weight = convolution.taps.weight.view(6, kernel, 4).permute(0, 2, 1).flip(-1)
    padded = F.pad(x.transpose(1, 2), ((kernel - 1) * dilation, 0))
    expected = F.conv1d(padded, weight, dilation=dilation).transpose(1, 2)
    torch.testing.assert_close(convolution(x), expected)


def test_a_layer_is_wavenets_gated_unit_beside_a_residual() -> None:
    layer = made().layers[1]
    x = torch.randn(2, 7, 12)
    normed = F.rms_norm(x, (12,), layer.norm.weight, 1e-6)
    both = layer.convolution(normed)
    unit = torch.tanh(both[..., :12]) * torch.sigmoid(both[..., 12:])
    torch.testing.assert_close(layer(x), x + unit @ layer.output.weight.T)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, 8),
        ({"kernel": 3, "layers": 2}, 7),
        ({"layers": 4, "cycle": 2}, 7),  # dilations 1, 2, 1, 2
        ({"layers": 1}, 2),
    ],
)
def test_a_prediction_sees_its_receptive_field_and_nothing_else(
    changes: dict[str, Any], field: int
) -> None:
    model = made(**changes)
    assert model.config.receptive_field == field
    tokens = rows(length=20, batch=1)
    x = model.embedding[tokens].detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model.mix(x)[0, 12].sum(), x)
    seen = torch.nonzero(gradient.abs().sum(-1)[0])[:, 0].tolist()
    assert seen == list(range(12 - field + 1, 13))
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % VOCABULARY
    different = torch.nonzero((model(tokens) != model(changed)).any(-1)[0])[:, 0].tolist()
    assert different == list(range(5, 5 + field))


def test_segments_are_read_as_if_they_stood_alone() -> None:
    model, tokens = made(), rows(length=8)
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 2, 2]])
    whole = model(tokens, segments)
    for row, first, last in ((0, 0, 3), (0, 3, 8), (1, 0, 6), (1, 6, 8)):
        alone = model(tokens[row : row + 1, first:last])
        torch.testing.assert_close(whole[row : row + 1, first:last], alone)


def test_the_loss_is_cross_entropy_over_the_targets_that_count() -> None:
    model, tokens = made(), rows(length=9)
    targets = tokens.roll(-1, 1)
    targets[:, -1] = -100
    expected = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(model.loss(tokens, targets), expected)

"""The decoder against transformers: loss and gradients; what it does with precision and segments."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.models.layouts import llama
from llm.models.layouts.table import stored_name
from tests.llm.models.random_weights import randomise

VOCABULARY, LENGTH = 83, 70
SETTINGS = ModelSettings(layers=2, d_model=48, heads=4, kv_heads=2, context_length=LENGTH)


@pytest.fixture
def model() -> Decoder:
    decoder = Decoder(SETTINGS.resolve(VOCABULARY))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2 + 0.05)
    return decoder


@pytest.fixture
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(VOCABULARY, (3, LENGTH + 1), generator=generator)
    targets = ids[:, 1:].clone()
    targets[0, :9] = -100
    return ids[:, :-1], targets


@pytest.mark.parametrize(
    "layout", [(Qwen3Config, Qwen3ForCausalLM), (LlamaConfig, LlamaForCausalLM)]
)
@pytest.mark.parametrize("tie", [True, False])
def test_loss_and_gradients_equal_transformers(
    layout: tuple[Any, Any],
    tie: bool,
    rows: tuple[torch.Tensor, torch.Tensor],
    tmp_path: Path,
) -> None:
    make_config, make_model = layout
    theirs = make_model(
        make_config(
            vocab_size=VOCABULARY,
            hidden_size=48,
            intermediate_size=80,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=12,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=tie,
        )
    )
    theirs.save_pretrained(tmp_path)
    ours = folder.load_decoder(tmp_path)
    tokens, targets = rows
    counted = int((targets != -100).sum())
    loss = ours.loss(tokens, targets) / counted
    # Their labels are shifted inside: position t is compared with label t + 1.
    labels = torch.cat((torch.full((3, 1), -100), targets), dim=1)
    padded = torch.cat((tokens, torch.zeros(3, 1, dtype=torch.long)), dim=1)
    expected = theirs(padded, labels=labels).loss
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    table = llama.table(ours.config, [name for name, _ in ours.named_parameters()])
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[stored_name(table, name)], atol=1e-5, rtol=1e-3, msg=name
        )


def test_loss_is_the_sum_of_the_tokens_losses(
    model: Decoder, rows: tuple[torch.Tensor, torch.Tensor]
) -> None:
    tokens, targets = rows
    each = model.token_losses(tokens, targets)
    torch.testing.assert_close(model.loss(tokens, targets), each.sum())
    assert not each[0, :9].any()
    logits = model(tokens).log_softmax(-1)
    picked = -logits.gather(2, targets.clamp(min=0)[:, :, None])[:, :, 0]
    torch.testing.assert_close(each[1:], picked[1:])


def test_segments_in_a_row_are_as_good_as_rows_of_their_own(model: Decoder) -> None:
    tokens = torch.randint(VOCABULARY, (1, 30), generator=torch.Generator().manual_seed(3))
    segments = torch.tensor([[1] * 11 + [2] * 19])
    apart = torch.cat((model(tokens[:, :11]), model(tokens[:, 11:])), dim=1)
    torch.testing.assert_close(model(tokens, segments), apart, atol=1e-4, rtol=1e-4)


def test_what_follows_a_token_does_not_change_its_logits(
    model: Decoder, rows: tuple[torch.Tensor, torch.Tensor]
) -> None:
    changed = rows[0].clone()
    changed[:, 40:] = 0
    torch.testing.assert_close(model(changed)[:, :40], model(rows[0])[:, :40])


def test_in_bfloat16_loss_and_gradients_are_float32_and_near(
    rows: tuple[torch.Tensor, torch.Tensor],
) -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        model = Decoder(SETTINGS.resolve(VOCABULARY), dtype)
        model.initialise(seed=0)
        with torch.no_grad():
            for block in model.blocks:  # zero at first, and then nothing of a block can be seen
                block.attention.output.weight.normal_(
                    std=0.1, generator=torch.Generator().manual_seed(0)
                )
        loss = model.loss(*rows)
        loss.backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
        assert loss.dtype == gradient.dtype == torch.float32
        found.append((loss.item(), gradient))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-3)
    assert (found[1][1] - found[0][1]).norm() < 0.02 * found[0][1].norm()


def test_first_weights_hang_on_the_seed_alone_and_predict_every_token_alike(
    rows: tuple[torch.Tensor, torch.Tensor],
) -> None:
    models = [Decoder(SETTINGS.resolve(VOCABULARY)) for _ in range(3)]
    for number, seed in enumerate((5, 5, 6)):
        torch.manual_seed(number)  # the global generator plays no part
        models[number].initialise(seed)
    same, other = (
        all(
            torch.equal(first, second)
            for first, second in zip(models[0].parameters(), model.parameters(), strict=True)
        )
        for model in models[1:]
    )
    assert same and not other
    mean = models[0].loss(*rows).item() / int((rows[1] != -100).sum())
    assert mean == pytest.approx(torch.tensor(VOCABULARY).log().item(), rel=0.02)


def test_more_tokens_than_the_context_are_refused(model: Decoder) -> None:
    with pytest.raises(ValueError, match="71 tokens are more than the context length of 70"):
        model(torch.zeros(1, LENGTH + 1, dtype=torch.long))


@pytest.mark.parametrize(
    "changes",
    [{"preset": "gpt2"}, {"window": 6}, {"attention_soft_cap": 1.0}, {"norm_position": "post"}],
)
def test_segments_are_rows_of_their_own_for_every_kind_of_block(changes: dict[str, Any]) -> None:
    sizes: dict[str, Any] = {"layers": 2, "d_model": 48, "heads": 4, "context_length": 30}
    model = Decoder(ModelSettings(**{**sizes, **changes}).resolve(VOCABULARY))
    randomise(model)
    tokens = torch.randint(VOCABULARY, (1, 30), generator=torch.Generator().manual_seed(3))
    segments = torch.tensor([[1] * 11 + [2] * 19])
    apart = torch.cat((model(tokens[:, :11]), model(tokens[:, 11:])), dim=1)
    torch.testing.assert_close(model(tokens, segments), apart, atol=1e-4, rtol=1e-4)


def test_dropout_is_drawn_in_training_alone_and_from_torchs_seed(
    rows: tuple[torch.Tensor, torch.Tensor],
) -> None:
    model = Decoder(dataclasses.replace(SETTINGS.resolve(VOCABULARY), dropout=0.2))
    randomise(model)
    losses = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        losses.append(model.loss(*rows).item())
    assert losses[0] == losses[1] != losses[2]
    with torch.no_grad():  # still in training mode, and yet what only measures sees all of it
        measured = model.loss(*rows).item()
    assert measured == pytest.approx(model.eval().loss(*rows).item())
    assert losses[0] != pytest.approx(measured)


def test_z_loss_changes_gradients_and_not_the_loss(
    model: Decoder, rows: tuple[torch.Tensor, torch.Tensor]
) -> None:
    tokens, targets = rows
    plain = model.loss(tokens, targets)
    (slope,) = torch.autograd.grad(plain, model.norm.weight)
    model.z_loss = 0.01
    found = model.loss(tokens, targets)
    assert found.item() == plain.item()
    squares = (model(tokens).logsumexp(-1).square() * (targets != -100)).sum()
    (more,) = torch.autograd.grad(squares, model.norm.weight)
    (with_z,) = torch.autograd.grad(found, model.norm.weight)
    torch.testing.assert_close(with_z, slope + 0.01 * more, atol=1e-4, rtol=1e-3)


def test_normal_first_weights_are_gpt2s() -> None:
    settings = ModelSettings(preset="gpt2", layers=8, d_model=128)
    model = Decoder(settings.resolve(VOCABULARY))
    model.initialise(seed=0)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            assert (parameter == (0.0 if name.endswith("bias") else 1.0)).all(), name
            continue
        residual = name.endswith(("output.weight", "down.weight"))
        wanted = 0.02 / 4 if residual else 0.02  # 4 = sqrt(2 * 8)
        assert parameter.std().item() == pytest.approx(wanted, rel=0.05), name

"""The encoder-decoder against PyTorch's own transformer, and against rows taken apart."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llm.models.config import ModelSettings
from llm.models.encoder_decoder import EncoderDecoder
from tests.llm.models.random_weights import randomise

VOCABULARY = 61
GENERATOR = torch.Generator().manual_seed(2)
SOURCES = torch.randint(VOCABULARY, (3, 14), generator=GENERATOR)
TOKENS = torch.randint(VOCABULARY, (3, 10), generator=GENERATOR)
TARGETS = torch.randint(VOCABULARY, (3, 10), generator=GENERATOR)


def model(**changes: Any) -> EncoderDecoder:
    sizes: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 4, "context_length": 24}
    settings = ModelSettings(**{**sizes, "architecture": "encoder_decoder", **changes})
    made = EncoderDecoder(settings.resolve(VOCABULARY))
    randomise(made)
    return made


def copied(ours: EncoderDecoder) -> nn.Transformer:
    """PyTorch's transformer with the same weights."""
    theirs = nn.Transformer(
        32, 4, 2, 2, dim_feedforward=128, dropout=0.0, activation="gelu", batch_first=True,
        norm_first=True, layer_norm_eps=1e-5,
    )  # fmt: skip

    def put(target: nn.Module, *sources: nn.Module) -> None:
        for name, parameter in target.named_parameters(recurse=False):
            kind = "bias" if "bias" in name else "weight"
            parameter.data = torch.cat([source.get_parameter(kind) for source in sources])

    def put_attention(target: Any, source: Any) -> None:
        put(target, source.query, source.key, source.value)
        put(target.out_proj, source.output)

    for blocks, layers in (
        (ours.source_blocks, theirs.encoder.layers),
        (ours.blocks, theirs.decoder.layers),
    ):
        for block, layer in zip(blocks, layers, strict=True):
            put(layer.norm1, block.attention_norm)
            put_attention(layer.self_attn, block.attention)
            last = layer.norm2
            if block.cross_attention is not None:
                put(layer.norm2, block.cross_norm)
                put_attention(layer.multihead_attn, block.cross_attention)
                last = layer.norm3
            put(last, block.feed_forward_norm)
            put(layer.linear1, block.feed_forward.up)
            put(layer.linear2, block.feed_forward.down)
    put(theirs.encoder.norm, ours.source_norm)
    put(theirs.decoder.norm, ours.norm)
    return theirs


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("padded", [True, False])
def test_logits_loss_and_gradients_equal_pytorchs_transformer(padded: bool) -> None:
    ours = model(preset="gpt2", feed_forward="gelu")
    theirs = copied(ours)
    assert ours.positions is not None and ours.source_positions is not None
    real = torch.arange(14) < torch.tensor([[14], [9 if padded else 14], [14]])
    x = F.embedding(SOURCES, ours.embedding) + ours.source_positions[:14]
    y = F.embedding(TOKENS, ours.embedding) + ours.positions[:10]
    causal = nn.Transformer.generate_square_subsequent_mask(10)
    states = theirs(
        x, y, tgt_mask=causal, src_key_padding_mask=~real, memory_key_padding_mask=~real
    )
    expected = F.cross_entropy(
        (states @ ours.embedding.T).flatten(0, 1), TARGETS.flatten(), reduction="sum"
    )
    segments = real.long() if padded else None
    found = ours.loss(TOKENS, TARGETS, None, SOURCES, segments)
    torch.testing.assert_close(found, expected)
    looked_up = (ours.embedding, ours.positions, ours.source_positions)
    wanted = torch.autograd.grad(expected, looked_up)
    gradients = torch.autograd.grad(found, looked_up)
    torch.testing.assert_close(gradients, wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("changes", [{}, {"preset": "gpt2"}, {"preset": "bert", "dropout": 0.0}])
def test_packed_pairs_are_as_good_as_rows_of_their_own(changes: dict[str, Any]) -> None:
    ours = model(**changes)
    segments = torch.tensor([[1] * 4 + [2] * 5 + [0]]).expand(3, 10)
    source_segments = torch.tensor([[1] * 3 + [2] * 9 + [0] * 2]).expand(3, 14)
    targets = TARGETS.where(segments > 0, -100)
    found = ours.token_losses(TOKENS, targets, segments, SOURCES, source_segments)
    apart = torch.cat(
        [
            ours.token_losses(TOKENS[:, row], TARGETS[:, row], None, SOURCES[:, source])
            for row, source in ((slice(0, 4), slice(0, 3)), (slice(4, 9), slice(3, 12)))
        ],
        dim=1,
    )
    torch.testing.assert_close(found[:, :9], apart, atol=1e-4, rtol=1e-4)
    whole = ours.loss(TOKENS, targets, segments, SOURCES, source_segments)
    torch.testing.assert_close(whole, found.sum())
    whole.backward()
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_a_target_sees_the_whole_source_and_nothing_of_what_follows() -> None:
    ours = model()

    def differs(tokens: Tensor, sources: Tensor) -> list[bool]:
        with torch.no_grad():
            changed, whole = ours(tokens, sources=sources), ours(TOKENS, sources=SOURCES)
        return [not torch.equal(a, b) for a, b in zip(changed[0], whole[0], strict=True)]

    tokens, sources = TOKENS.clone(), SOURCES.clone()
    tokens[:, 6] = (tokens[:, 6] + 1) % VOCABULARY
    sources[:, 13] = (sources[:, 13] + 1) % VOCABULARY
    assert differs(tokens, SOURCES) == [False] * 6 + [True] * 4
    assert all(differs(TOKENS, sources))


def test_a_missing_source_is_named() -> None:
    with pytest.raises(ValueError, match="needs sources"):
        model().loss(TOKENS, TARGETS)

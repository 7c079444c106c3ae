"""The layouts of encoder-decoders, both ways: transformers' logits, and the ids that it writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSeq2SeqLM,
    BartConfig,
    BartForConditionalGeneration,
    BartModel,
    BlenderbotConfig,
    BlenderbotForConditionalGeneration,
)

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import Request, generate_all
from llm.step import BadInput
from tests.llm.models.conftest import VOCABULARY
from tests.llm.models.random_weights import randomise

LENGTH = 256
GENERATOR = torch.Generator().manual_seed(2)
SOURCES = torch.randint(VOCABULARY, (3, 20), generator=GENERATOR)
TOKENS = torch.randint(VOCABULARY, (3, 12), generator=GENERATOR)
REAL = torch.arange(20) < torch.tensor([[20], [13], [5]])  # (3, 20): the rest is padding
SIZES = {
    "vocab_size": VOCABULARY,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 80,
    "decoder_ffn_dim": 80,
    "max_position_embeddings": LENGTH,
}
STYLES = {"bart": {}, "blenderbot": {"norm_position": "pre"}}


def encoder_decoder(**changes: Any) -> EncoderDecoder:
    sizes = {"layers": 2, "d_model": 48, "heads": 4, "context_length": LENGTH}
    settings = ModelSettings(**{"preset": "bart", **sizes, **changes})
    model = EncoderDecoder(settings.resolve(VOCABULARY)).eval()
    randomise(model)
    return model


def load(path: Path) -> EncoderDecoder:
    model = folder.load_model(path)
    assert isinstance(model, EncoderDecoder)
    return model.eval()


@torch.no_grad()
def assert_alike(ours: EncoderDecoder, theirs: Any) -> None:
    """The logits of targets, and 200 ids that each writes alone."""
    wanted = theirs(SOURCES, attention_mask=REAL.long(), decoder_input_ids=TOKENS).logits
    found = ours(TOKENS, sources=SOURCES, source_segments=REAL.long())
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)
    written = theirs.generate(
        SOURCES,
        attention_mask=REAL.long(),
        decoder_start_token_id=3,
        do_sample=False,
        num_beams=1,
        eos_token_id=None,
        forced_eos_token_id=None,
        encoder_no_repeat_ngram_size=0,
        max_new_tokens=200,
    )
    sources = [row[real].tolist() for row, real in zip(SOURCES, REAL, strict=True)]
    requests = [Request(ids, 200, start_id=3) for ids in sources]
    assert generate_all(ours, requests) == written[:, 1:].tolist()


@pytest.mark.parametrize("layout", STYLES)
@pytest.mark.parametrize("feed_forward", ["gelu", "gelu_tanh"])
def test_transformers_gives_the_same_logits_for_a_saved_model(
    layout: str, feed_forward: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    model = encoder_decoder(**STYLES[layout], feed_forward=feed_forward)
    assert model.config.export == layout
    folder.save(model, tmp_path / "model", tokenizer_json)
    loaded, report = AutoModelForSeq2SeqLM.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert type(loaded).__name__ == f"{layout.title()}ForConditionalGeneration"
    assert_alike(model, loaded)
    assert model.parameter_count() == model.config.parameters
    again = load(tmp_path / "model")
    assert again.config == model.config
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again.get_parameter(name)), name


def test_transformers_starts_and_stops_where_the_folder_says(
    tmp_path: Path, tokenizer_json: Path
) -> None:
    model = encoder_decoder()
    folder.save(model, tmp_path, tokenizer_json)
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    said = theirs.generation_config
    assert (said.decoder_start_token_id, said.eos_token_id) == (3, [0, 2])
    assert said.pad_token_id == 3
    written = theirs.generate(SOURCES[:1], max_new_tokens=50)[0].tolist()
    [own] = generate_all(model, [Request(SOURCES[0].tolist(), 50, stop_ids={0, 2}, start_id=3)])
    assert written[: len(own) + 1] == [3, *own]
    assert len(own) == 50 or written[len(own) + 1] in (0, 2)


@pytest.mark.parametrize(
    "theirs",
    [
        BartForConditionalGeneration(BartConfig(**SIZES)),
        BlenderbotForConditionalGeneration(BlenderbotConfig(**SIZES)),
    ],
    ids=["bart", "blenderbot"],
)
def test_a_model_saved_by_transformers_gives_the_same_logits_here(
    theirs: Any, tmp_path: Path
) -> None:
    randomise(theirs.eval())
    theirs.save_pretrained(tmp_path)
    assert_alike(load(tmp_path), theirs)


def test_the_bare_model_and_repeated_embeddings_are_read(tmp_path: Path) -> None:
    theirs = BartModel(BartConfig(**SIZES)).eval()
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    with torch.no_grad():
        wanted = theirs(SOURCES, attention_mask=REAL.long(), decoder_input_ids=TOKENS)
        found = load(tmp_path).hidden_states(TOKENS, None, SOURCES, REAL.long())
    torch.testing.assert_close(found, wanted.last_hidden_state, atol=1e-4, rtol=1e-4)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    shared = tensors["shared.weight"]
    save_file({**tensors, "encoder.embed_tokens.weight": shared.clone()}, path)
    assert torch.equal(load(tmp_path).embedding, shared)
    save_file({**tensors, "encoder.embed_tokens.weight": shared + 1}, path)
    with pytest.raises(BadInput, match=r"encoder\.embed_tokens\.weight differs from"):
        load(tmp_path)


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"architectures": ["BartForSequenceClassification"]}, "BartForSequenceClassification"),
        ({"activation_function": "relu"}, "activation_function 'relu' is not supported"),
        ({"scale_embedding": True}, "scale_embedding True"),
        ({"decoder_layers": 3}, "encoder_layers 2 and decoder_layers 3"),
        ({"decoder_ffn_dim": 3}, "encoder_ffn_dim 192 and decoder_ffn_dim 3"),
        ({"normalize_before": True}, "normalize_before True"),
        ({"max_position_embeddings": 255}, r"embed_positions\.weight is \(258, 48\)"),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, Any], named: str, tmp_path: Path, tokenizer_json: Path
) -> None:
    folder.save(encoder_decoder(), tmp_path, tokenizer_json)
    fields = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**fields, **changes}))
    with pytest.raises(BadInput, match=named):
        folder.load_model(tmp_path)


def test_biases_of_the_logits_are_not_dropped_in_silence(
    tmp_path: Path, tokenizer_json: Path
) -> None:
    folder.save(encoder_decoder(), tmp_path, tokenizer_json)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors["final_logits_bias"][0, 5] = 1.0
    save_file(tensors, path)
    with pytest.raises(BadInput, match="final_logits_bias is not zero"):
        load(tmp_path)


@pytest.mark.parametrize(
    "changes, layout",
    [
        ({}, "bart"),
        ({"norm_position": "pre"}, "blenderbot"),
        ({"positions": "rope"}, "penstock"),
        ({"bias": False}, "penstock"),
        ({"norm": "rmsnorm"}, "penstock"),
    ],
)
def test_the_first_layout_that_fits_is_chosen(changes: dict[str, Any], layout: str) -> None:
    assert ModelSettings(preset="bart", **changes).export == layout

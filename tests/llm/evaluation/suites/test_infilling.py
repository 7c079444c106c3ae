"""Filling in: what is asked of models, against `transformers` where it has the model, and what is shown."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import BertForMaskedLM

from llm.evaluation import filling, hidden
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.models.encoder import Encoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.step import BadInput
from llm.tokens.rows import IGNORE
from llm.tokens.special import reserved
from tests.llm.training.finetune.talks import byte_tokenizer

TEXT = (
    b"The river rose in the night, and the people of the lower town carried their beds uphill. "
    b"In the morning the water stood in the market, and boats went where carts had gone."
)
DOCUMENTS = [(bytes([number]) * 16, TEXT[: 40 + 31 * number]) for number in range(5)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return byte_tokenizer(reserved(("masking", "spans")))


def encoder(tokenizer: Tokenizer, **fields: object) -> Encoder:
    sizes = {"layers": 2, "d_model": 32, "heads": 2, "hidden": 64, "context_length": 48}
    settings = ModelSettings(preset="bert", **{**sizes, **fields})
    model = build(settings.resolve(tokenizer.get_vocab_size()), torch.float32)
    assert isinstance(model, Encoder)
    model.initialise(seed=3)
    return model.eval()


def encoder_decoder(tokenizer: Tokenizer) -> EncoderDecoder:
    settings = ModelSettings(
        architecture="encoder_decoder", layers=2, d_model=32, heads=2, context_length=48
    )
    model = build(settings.resolve(tokenizer.get_vocab_size()), torch.float32)
    assert isinstance(model, EncoderDecoder)
    model.initialise(seed=3)
    with torch.no_grad():  # zeros at first, which would make every guess the same
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.manual_seed(1)))
    return model.eval()


def test_an_encoder_s_nats_are_those_of_transformers(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = encoder(tokenizer)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    folder.save(model, tmp_path / "model", tmp_path / "tokenizer.json")
    theirs = BertForMaskedLM.from_pretrained(tmp_path / "model").eval()
    windows = hidden.hide(tokenizer, DOCUMENTS, hidden.hiding(model, tokenizer, 0.2, 3.0))
    assert len({len(one.arrays["tokens"]) for one in windows}) > 1, "some are filled up in a batch"
    for window, found in zip(windows, hidden.score(model, windows), strict=True):
        row = torch.from_numpy(window.arrays["tokens"])[None]
        with torch.no_grad():
            logits = theirs(row).logits[0]
        at = torch.from_numpy(np.flatnonzero(window.arrays["targets"] != IGNORE))
        expected = -logits.log_softmax(-1)[at, torch.from_numpy(window.asked)]
        np.testing.assert_allclose(found.nats, expected, rtol=1e-4, atol=1e-5)
        assert found.guesses.tolist() == logits[at].argmax(-1).tolist()


def test_an_encoder_decoder_s_nats_are_those_of_each_window_alone(tokenizer: Tokenizer) -> None:
    model = encoder_decoder(tokenizer)
    windows = hidden.hide(tokenizer, DOCUMENTS, hidden.hiding(model, tokenizer, 0.2, 3.0))
    for window, found in zip(windows, hidden.score(model, windows), strict=True):
        rows = {name: torch.from_numpy(array)[None] for name, array in window.arrays.items()}
        nats = model.token_losses(**rows)[rows["targets"] != IGNORE]
        np.testing.assert_allclose(found.nats, nats, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [encoder, encoder_decoder])
def test_the_text_with_its_gaps_filled_is_the_document(
    kind: type[Encoder], tokenizer: Tokenizer
) -> None:
    model = kind(tokenizer)  # type: ignore[arg-type]
    how = hidden.hiding(model, tokenizer, 0.2, 3.0)
    windows = hidden.hide(tokenizer, DOCUMENTS, how)
    for number, (_, text) in enumerate(DOCUMENTS):
        whole = ""
        for window in (one for one in windows if one.document == number):
            shown = window.text
            for gap, span in enumerate(window.gaps, start=1):
                there = tokenizer.decode(window.asked[span].tolist())
                shown = shown.replace(f" [{gap}]", there, 1)
            whole += shown
        # A last window may be too short to hide anything of.
        assert text.decode().startswith(whole)
        assert len(text) - len(whole) < hidden.SHORTEST
    sizes = [len(one.asked) / one.size for one in windows if one.size == how.length]
    assert sizes == pytest.approx([0.2] * len(sizes), abs=0.03)


def test_the_same_is_hidden_of_a_document_whatever_stands_beside_it(tokenizer: Tokenizer) -> None:
    how = hidden.hiding(encoder(tokenizer), tokenizer, 0.2, 3.0)
    alone = hidden.hide(tokenizer, DOCUMENTS[3:4], how)
    beside = [one for one in hidden.hide(tokenizer, DOCUMENTS, how) if one.document == 3]
    assert [one.text for one in alone] == [one.text for one in beside]


def test_a_tokenizer_without_masks_is_told(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"<\|mask\|>"):
        hidden.hiding(encoder(tokenizer), byte_tokenizer(), 0.15, 3.0)


def test_gaps_are_filled_in_place_and_a_model_that_writes_no_mark_fills_none(
    tokenizer: Tokenizer,
) -> None:
    pieces = [["The ", " of the ", "."], ["If ", ""]]
    [one, other] = filling.fill(encoder(tokenizer), tokenizer, pieces, 0.0, None, 0, 5)
    assert one.text.startswith("The")
    assert " of the" in one.text
    assert one.text.endswith(".")
    assert (one.tokens, other.tokens) == (2, 1)
    model = encoder_decoder(tokenizer)
    for written in filling.fill(model, tokenizer, pieces, 1.0, 50, 0, 5):
        assert written.tokens <= 5
    with torch.no_grad():  # all it writes is one byte, again and again
        model.embedding[tokenizer.token_to_id("a")] += 5
    [one, _] = filling.fill(model, tokenizer, pieces, 0.0, None, 0, 5)
    assert one.text == "The of the."
    with pytest.raises(BadInput, match="the model's context has room for 45: shorten it"):
        filling.fill(model, tokenizer, [["x" * 60, ""]], 0.0, None, 0, 5)

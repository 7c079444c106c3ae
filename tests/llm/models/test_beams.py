"""Beam search against transformers', and against every text that there is."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from llm.models import folder
from llm.models.beams import Beams, beam_search
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import Request, generate_all

SIZES: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 4, "context_length": 48}
ROWS = [[5, 9, 11, 40], [7], [33, 13, 8, 10, 60, 12, 44], [50, 51], [80, 4, 20, 21, 22]]
STOPS = tuple(range(0, 97, 3))  # so many that texts of random models end at different steps
START = 3


def made(kind: Any, vocabulary: int = 97, **changes: Any) -> Any:
    """A model whose next tokens differ by row and place, as those of `randomise` hardly do."""
    settings = ModelSettings(**{**SIZES, "initialisation": "normal", **changes})
    model = kind(settings.resolve(vocabulary)).eval()
    model.initialise(seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter *= 5 if name in ("embedding", "head") else 20
    return model


@pytest.mark.parametrize("penalty, early", [(1.0, False), (1.0, True), (2.0, False), (-0.5, False)])
@pytest.mark.parametrize("preset", ["bart", "qwen3", "gpt2"])
def test_texts_and_scores_are_those_of_transformers(
    preset: str, penalty: float, early: bool, tmp_path: Path, tokenizer_json: Path
) -> None:
    crossed = preset == "bart"
    model = made(EncoderDecoder if crossed else Decoder, preset=preset)
    folder.save(model, tmp_path / "model", tokenizer_json)
    loader = AutoModelForSeq2SeqLM if crossed else AutoModelForCausalLM
    theirs = loader.from_pretrained(tmp_path / "model")
    beams = Beams(4, penalty, early)
    start = START if crossed else None
    requests = [Request(ids, 20, stop_ids=STOPS, start_id=start) for ids in ROWS]
    found = beam_search(model, requests, beams, rows=12)
    for ids, texts in zip(ROWS, found, strict=True):
        wanted = theirs.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            num_beams=4,
            num_return_sequences=4,
            length_penalty=penalty,
            early_stopping=early,
            do_sample=False,
            max_new_tokens=20,
            eos_token_id=list(STOPS),
            output_scores=True,
            return_dict_in_generate=True,
        )
        begin = 1 if crossed else len(ids)
        written = [text_of(row[begin:].tolist()) for row in wanted.sequences]
        assert [one.ids for one in texts] == written
        scores = torch.tensor([one.score for one in texts])
        torch.testing.assert_close(scores, wanted.sequences_scores, atol=1e-4, rtol=1e-4)
    lengths = {len(one.ids) for texts in found for one in texts}
    assert len(lengths) > 1, "the rows of this test must end at different steps"


def text_of(ids: list[int]) -> list[int]:
    """The ids before the first stop token."""
    return list(itertools.takewhile(lambda one: one not in STOPS, ids))


def test_rows_together_give_what_each_gives_alone() -> None:
    model = made(EncoderDecoder, preset="bart")
    requests = [
        Request(ids, most, stop_ids=STOPS, start_id=START)
        for ids, most in zip(ROWS, (3, 20, 11, 1, 7), strict=True)
    ]
    together = beam_search(model, requests, Beams(3))
    for request, texts in zip(requests, together, strict=True):
        [alone] = beam_search(model, [request], Beams(3))
        assert [one.ids for one in texts] == [one.ids for one in alone]
        assert [one.score for one in texts] == pytest.approx([one.score for one in alone], abs=1e-4)
        assert max(len(one.ids) for one in texts) <= request.max_new_tokens


def test_one_beam_is_greedy() -> None:
    for model, start in ((made(Decoder), None), (made(EncoderDecoder), START)):
        requests = [Request(ids, 15, stop_ids=STOPS, start_id=start) for ids in ROWS]
        found = beam_search(model, requests, Beams(1, early_stopping=True))
        assert [texts[0].ids for texts in found] == generate_all(model, requests)


def test_enough_beams_find_the_best_of_all_texts() -> None:
    vocabulary, most, stop = 6, 3, 0
    model = made(EncoderDecoder, vocabulary)
    source = [4, 5, 2]

    def log_p(ids: tuple[int, ...]) -> float:
        """Sum of ln p of the ids, each read with the whole row."""
        tokens = torch.tensor([[1, *ids[:-1]]])
        with torch.no_grad():
            shares = model(tokens, sources=torch.tensor([source]))[0].log_softmax(-1)
        return float(shares.gather(1, torch.tensor(ids)[:, None]).sum())

    texts = {
        ids
        for length in range(1, most + 1)
        for ids in itertools.product(range(vocabulary), repeat=length)
        if stop not in ids[:-1] and (ids[-1] == stop or length == most)
    }
    best = max(texts, key=lambda ids: log_p(ids) / len(ids))
    request = Request(source, most, stop_ids=(stop,), start_id=1)
    [found] = beam_search(model, [request], Beams(vocabulary**most))
    assert [*found[0].ids, *([stop] if found[0].ended else [])] == list(best)
    assert found[0].score == pytest.approx(log_p(best) / len(best), abs=1e-5)


def test_a_prompt_that_fills_the_context_keeps_its_end() -> None:
    model = made(Decoder)
    long = [*range(5, 90)]
    [found] = beam_search(model, [Request(long, 10)], Beams(2))
    [wanted] = beam_search(model, [Request(long[-39:], 10)], Beams(2))
    assert found == wanted
    assert len(found[0].ids) == 10


def test_what_cannot_be_searched_is_refused() -> None:
    model = made(EncoderDecoder)
    with pytest.raises(ValueError, match=r"temperature 0\.5 must be 0"):
        beam_search(model, [Request([1], 5, temperature=0.5, start_id=3)], Beams(2))
    with pytest.raises(ValueError, match="at least one beam, not 0"):
        Beams(0)
    with pytest.raises(ValueError, match="49 tokens are more than the context length of 48"):
        beam_search(model, [Request([1] * 49, 5, start_id=3)], Beams(2))

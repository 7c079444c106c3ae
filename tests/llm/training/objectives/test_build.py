"""Which objective a recipe may ask of which model and tokenizer."""

import dataclasses

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from llm.step import BadInput
from llm.tokens.special import CLASSIFY, MASK, PADDING, SENTINELS, SEPARATOR, SPECIAL_TOKENS
from llm.training.batch import Batch
from llm.training.objectives.build import build
from llm.training.objectives.settings import ARCHITECTURES, ObjectiveSettings, check_pairing


class Windows:
    """Four windows a step."""

    def part(self, step: int, part: int, parts: int) -> Batch:
        tokens = np.random.default_rng(step).integers(100, 160, (4, 33))
        return Batch.of(tokens=tokens[:, :-1], targets=tokens[:, 1:])

    def seen(self, step: int) -> list[int]:
        return [step]


def tokenizer(*special: str) -> Tokenizer:
    words = [*special, *(f"w{number}" for number in range(160 - len(special)))]
    return Tokenizer(WordLevel({word: number for number, word in enumerate(words)}))


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_every_objective_makes_rows_of_the_same_number(kind: str) -> None:
    known = tokenizer(*SPECIAL_TOKENS, MASK, CLASSIFY, SEPARATOR, *SENTINELS)
    settings = ObjectiveSettings(type=kind)  # type: ignore[arg-type]
    rows = build(settings, 1, known).batches(Windows(), 4).part(0, 0, 1)
    assert len(rows["tokens"]) == len(rows["targets"]) == 4
    specials = np.arange(len(SPECIAL_TOKENS) + 3 + len(SENTINELS))
    if kind.startswith("masked"):
        learned = rows["targets"][rows["targets"] != -100]
        assert not np.isin(learned, specials).any()
        assert (rows["tokens"] == known.token_to_id(MASK)).any()


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind != "next_token"])
def test_a_tokenizer_without_the_marks_is_refused_naming_them(kind: str) -> None:
    settings = ObjectiveSettings(type=kind)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=rf"objective.type {kind}: .*has no token <\|"):
        build(settings, 1, tokenizer(PADDING))


@pytest.mark.parametrize("kind", ARCHITECTURES)
@pytest.mark.parametrize("architecture", ["decoder", "encoder", "encoder-decoder"])
def test_a_wrong_pairing_is_refused_with_both_ways_out(kind: str, architecture: str) -> None:
    settings = ObjectiveSettings(type=kind)  # type: ignore[arg-type]
    if ARCHITECTURES[kind] == architecture.replace("-", "_"):
        check_pairing(settings, architecture)
        return
    with pytest.raises(ValueError, match=rf"set model.architecture to {ARCHITECTURES[kind]}, or"):
        check_pairing(settings, architecture)


def test_settings_are_plain_values() -> None:
    assert dataclasses.asdict(ObjectiveSettings())["type"] == "next_token"

"""Translation on encoder-decoders and decoders: learned, written into the folder, the same after a kill."""

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from llm.examples.settings import PAIRS
from llm.examples.shards import Example, ShardWriter
from llm.machine import Machine
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.step import BadInput, Context, Inputs, StepResult
from llm.training.finetune.instruct import InstructSettings
from llm.training.finetune.prepare import prepare
from llm.training.finetune.settings import FinetuneSettings, TuningSchedule
from llm.training.finetune.step import finetune
from llm.training.finetune.translate import TranslateSettings
from llm.training.finetune.translating import Translator
from llm.training.ranks.launch import TrainingError
from tests.examples import write_conversations
from tests.llm.training.finetune.talks import byte_tokenizer, conversation
from tests.llm.training.finetune.test_step import at, files_of, kill_after_steps

CONTEXT = 48
WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "f\u00fcnf"}
SIZES: dict[str, Any] = {"layers": 1, "d_model": 64, "heads": 4, "context_length": CONTEXT}
BASES: dict[str, dict[str, Any]] = {
    "bart": {"preset": "bart", "dropout": 0.0},
    "own": {"architecture": "encoder_decoder"},
    "decoder": {"preset": "qwen3"},
}


def said(number: int) -> tuple[str, str]:
    """Two words, and what they are in German."""
    english = [*WORDS][number % 5], [*WORDS][number // 5 % 5]
    return " ".join(english), " ".join(WORDS[word] for word in english)


def settings(**changes: Any) -> TranslateSettings:
    values: dict[str, Any] = {
        "name": "de",
        "task": "translate",
        "data": "pairs.jsonl",
        "steps": 120,
        "batch_tokens": 8 * CONTEXT,
        "schedule": TuningSchedule(peak_lr=0.01),
        "source_language": "English",
        "target_language": "German",
        "beams": 3,
        "precision": "fp32",
        "checkpoint_every": 20,
        "validation_sentences": 5,
    }
    return TranslateSettings(**{**values, **changes})


def inputs_for(values: FinetuneSettings, base: str, root: Path) -> Inputs:
    """An untrained model of a kind, all 25 pairs (or ten questions) on both sides, and their rows."""
    tokenizer = byte_tokenizer()
    tokenizer.save(str(root / "tokenizer.json"))
    config = ModelSettings(**{**SIZES, **BASES[base]}).resolve(tokenizer.get_vocab_size())
    model = build(config)
    model.initialise(seed=0)
    folder.save(model, root / "base" / "model", root / "tokenizer.json")
    (root / "data").mkdir()
    for split in ("train", "validation"):
        path = root / "data" / f"{split}.arrow"
        if isinstance(values, InstructSettings):
            write_conversations(path, [conversation(number) for number in range(10)])
            continue
        with ShardWriter(path, PAIRS, split) as shard:
            for number in range(25):
                shard.add(Example(said(number), "", f"{split}.jsonl", number + 1))
    made: Inputs = {"model": [root / "base"], "data": [root / "data"]}
    (root / "rows").mkdir()
    prepare(values, made, Context(out=root / "rows", work=root))
    return {**made, "rows": [root / "rows"]}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return inputs_for(settings(), "bart", tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def tuned(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[StepResult, Path]:
    """An undisturbed run with one process, and where its output lies."""
    context = at(tmp_path_factory.mktemp("tuned"))
    return finetune(settings(), inputs, context), context.out


def test_a_model_learns_to_translate(tuned: tuple[StepResult, Path]) -> None:
    result, out = tuned
    assert result.counts["validation_loss"]["after"] < 0.05
    assert result.counts["validation_chrf"]["after"] == pytest.approx(100)
    translator = Translator(out / "model")
    english, german = zip(*map(said, range(25)), strict=True)
    assert translator.translate([*english, " "]) == [*german, ""]
    assert translator.translate(["five one"], beams=1) == ["f\u00fcnf eins"]
    with pytest.raises(BadInput, match="does not translate into 'French', only into German"):
        translator.translate(["one"], into="French")


def test_transformers_translates_with_what_the_folder_says(tuned: tuple[StepResult, Path]) -> None:
    _, out = tuned
    theirs = AutoModelForSeq2SeqLM.from_pretrained(out / "model")
    assert type(theirs).__name__ == "BartForConditionalGeneration"
    assert theirs.generation_config.num_beams == 3
    translator = Translator(out / "model")
    for number in (3, 11, 24):
        [ids] = translator.encode([said(number)[0]])
        written = theirs.generate(torch.tensor([ids]))[0]
        text = translator.tokenizer.decode(written.tolist(), skip_special_tokens=True)
        assert text == said(number)[1]


def test_killed_with_two_processes_a_retry_with_one_gives_the_bytes_of_an_undisturbed_run(
    inputs: Inputs, tuned: tuple[StepResult, Path], tmp_path: Path
) -> None:
    context = at(tmp_path, processes=2)
    killer = threading.Thread(target=kill_after_steps, args=(context.work, 30))
    killer.start()
    with pytest.raises(TrainingError):
        finetune(settings(), inputs, context)
    killer.join()
    again = finetune(settings(), inputs, replace(context, machine=Machine(processes=1)))
    undisturbed, out = tuned
    assert again == undisturbed
    assert files_of(context.out) == files_of(out)


def test_a_decoder_translates_from_a_prompt(tmp_path: Path) -> None:
    values = settings(steps=200)
    made = at(tmp_path / "made")
    result = finetune(values, inputs_for(values, "decoder", tmp_path), made)
    assert result.counts["validation_loss"]["after"] < 0.1
    translator = Translator(made.out / "model")
    english, german = zip(*map(said, range(25)), strict=True)
    assert translator.translate(english) == [*german]
    [ids] = translator.encode(["two three"])
    assert translator.tokenizer.decode(ids[1:]) == "English:\ntwo three\nGerman:\n"
    theirs = AutoModelForCausalLM.from_pretrained(made.out / "model")
    written = theirs.generate(torch.tensor([ids]))[0, len(ids) :]
    assert translator.tokenizer.decode(written.tolist()) == "zwei drei"


def test_both_directions_are_learned_and_asked_for_by_name(tmp_path: Path) -> None:
    values = settings(both_directions=True, steps=300)
    made = at(tmp_path / "made")
    finetune(values, inputs_for(values, "own", tmp_path), made)
    translator = Translator(made.out / "model")
    english, german = zip(*map(said, range(25)), strict=True)
    assert translator.translate(english) == [*german]
    assert translator.translate(german, into="english") == [*english]
    said_of_it = json.loads((made.out / "model" / "translation.json").read_text())
    assert [one["prompt"] for one in said_of_it["directions"]] == [
        "German: {source}",
        "English: {source}",
    ]


def test_a_pair_that_is_longer_than_the_context_is_left_out_and_counted(tmp_path: Path) -> None:
    values = settings()
    made = inputs_for(values, "bart", tmp_path)
    with ShardWriter(tmp_path / "data" / "train.arrow", PAIRS, "train") as shard:
        shard.add(Example(("one", "eins")))
        shard.add(Example(("two", "zwei " * 20)))
    rows = tmp_path / "again"
    rows.mkdir()
    result = prepare(values, made, Context(out=rows, work=tmp_path))
    assert result.counts["train"]["examples"] == 1
    assert result.counts["train"]["too_long"] == 1
    with ShardWriter(tmp_path / "data" / "train.arrow", PAIRS, "train") as shard:
        shard.add(Example(("two", "zwei " * 20)))
    with pytest.raises(BadInput, match=r"no example in .* within the model's context of 48"):
        prepare(values, made, Context(out=rows, work=tmp_path))


def test_an_encoder_decoder_learns_to_answer(tmp_path: Path) -> None:
    values = InstructSettings(
        name="ask",
        data="talks.jsonl",
        steps=120,
        batch_tokens=8 * CONTEXT,
        schedule=TuningSchedule(peak_lr=0.01),
        precision="fp32",
    )
    made = at(tmp_path / "made")
    result = finetune(values, inputs_for(values, "bart", tmp_path), made)
    assert result.counts["validation_loss"]["after"] < 0.05
    theirs = AutoModelForSeq2SeqLM.from_pretrained(made.out / "model")
    tokenizer = AutoTokenizer.from_pretrained(made.out / "model")
    asked = tokenizer.apply_chat_template(
        conversation(3)[:1], add_generation_prompt=True, return_tensors="pt"
    )
    written = theirs.generate(**asked, do_sample=False, max_new_tokens=30)[0]
    assert tokenizer.decode(written.tolist()[1:]) == "It does read.<|im_end|>"


def test_two_languages_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="both are called 'German'"):
        settings(both_directions=True, source_language="German")

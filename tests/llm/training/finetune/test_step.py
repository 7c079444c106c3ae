"""Instruction tuning: what is packed, what is learned, and that a kill changes nothing."""

import json
import os
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm.machine import Machine
from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.models.generation import generate
from llm.step import BadInput, Context, Inputs, StepResult
from llm.tokens.chat import encode_messages
from llm.training.finetune.instruct import InstructSettings
from llm.training.finetune.prepare import prepare
from llm.training.finetune.settings import EarlyStopping, TuningSchedule
from llm.training.finetune.step import finetune
from llm.training.ranks.launch import TrainingError
from llm.training.schedule import learning_rate
from tests.examples import write_conversations
from tests.llm.training.finetune.talks import CONTEXT, byte_tokenizer, conversation
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A small untrained byte model, and the same ten questions for training and held out."""
    root = tmp_path_factory.mktemp("inputs")
    tokenizer = byte_tokenizer()
    tokenizer.save(str(root / "tokenizer.json"))
    settings = ModelSettings(layers=2, d_model=32, heads=2, context_length=CONTEXT)
    model = Decoder(settings.resolve(tokenizer.get_vocab_size()))
    model.initialise(seed=0)
    folder.save(model, root / "base" / "model", root / "tokenizer.json")
    (root / "data").mkdir()
    for split, count in (("train", 40), ("validation", 10)):
        talks = [conversation(number) for number in range(count)]
        write_conversations(root / "data" / f"{split}.arrow", talks)
    made: Inputs = {"model": [root / "base"], "data": [root / "data"]}
    return {**made, "rows": [rows_of(made, root)]}


def rows_of(inputs: Inputs, root: Path) -> Path:
    """What the rows step makes of the inputs, in a folder of `root`."""
    (root / "rows").mkdir()
    prepare(settings(), inputs, Context(out=root / "rows", work=root))
    return root / "rows"


def settings(**changes: Any) -> InstructSettings:
    values: dict[str, Any] = {
        "name": "ask",
        "data": "test",
        "steps": 8,
        "batch_tokens": 4 * CONTEXT,
        "schedule": TuningSchedule(peak_lr=0.01),
        "precision": "fp32",
        "checkpoint_every": 20,
    }
    return InstructSettings(**{**values, **changes})


def at(base: Path, processes: int = 1) -> Context:
    for name in ("out", "work"):
        (base / name).mkdir(parents=True, exist_ok=True)
    return Context(
        out=base / "out", work=base / "work", machine=Machine(processes=processes, device="cpu")
    )


def files_of(out: Path) -> dict[str, bytes]:
    model = {path.name: path.read_bytes() for path in (out / "model").iterdir()}
    return {**model, "seen": (out / "seen.jsonl").read_bytes()}


def test_the_rate_rises_and_falls_to_zero() -> None:
    schedule = TuningSchedule(warmup_fraction=0.25, peak_lr=1.0)
    rates = [learning_rate(schedule, step, 8, 4096) for step in range(8)]
    assert rates == pytest.approx([0.5, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_no_answer_within_the_context_is_bad_input(inputs: Inputs, tmp_path: Path) -> None:
    shutil.copytree(inputs["data"][0], tmp_path / "data")
    long = {"role": "user", "content": "a" * 200}
    talk = [long, {"role": "assistant", "content": "b"}]
    write_conversations(tmp_path / "data" / "train.arrow", [talk])
    with pytest.raises(BadInput, match="anything to learn within the model's context of 64"):
        rows_of({**inputs, "data": [tmp_path / "data"]}, tmp_path)


@pytest.fixture(scope="module")
def tuned(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[StepResult, Path]:
    """An undisturbed run with one process, and where its output lies."""
    context = at(tmp_path_factory.mktemp("tuned"))
    return finetune(settings(steps=150), inputs, context), context.out


def test_a_tuned_model_answers(tuned: tuple[StepResult, Path]) -> None:
    result, out = tuned
    losses = result.counts["validation_loss"]
    assert losses["before"] == pytest.approx(np.log(260), rel=0.02)  # an untrained model's
    assert losses["after"] < 0.05
    model, tokenizer = folder.load(out / "model")
    question = conversation(3)[:1]
    ids, _ = encode_messages(tokenizer, question, ask=True)
    answer = list(generate(model, ids, 30, stop_ids={2}))
    assert tokenizer.decode(answer) == "It does read."
    theirs = AutoTokenizer.from_pretrained(out / "model")
    prompt = theirs.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt")
    hugging_face = AutoModelForCausalLM.from_pretrained(out / "model")
    output = hugging_face.generate(**prompt, do_sample=False, max_new_tokens=30)[0]
    assert theirs.decode(output[len(ids) :]) == "It does read.<|im_end|>"


def test_killed_with_two_processes_a_retry_with_one_gives_the_bytes_of_an_undisturbed_run(
    inputs: Inputs, tuned: tuple[StepResult, Path], tmp_path: Path
) -> None:
    context = at(tmp_path, processes=2)
    killer = threading.Thread(target=kill_after_steps, args=(context.work, 30))
    killer.start()
    with pytest.raises(TrainingError):
        finetune(settings(steps=150), inputs, context)
    killer.join()
    assert any((context.work / "checkpoints").iterdir())
    again = finetune(settings(steps=150), inputs, replace(context, machine=Machine(processes=1)))
    undisturbed, out = tuned
    assert again == undisturbed
    assert files_of(context.out) == files_of(out)


def test_the_best_weights_of_answers_are_found_by_the_loss(inputs: Inputs, tmp_path: Path) -> None:
    context = at(tmp_path)
    result = finetune(settings(early_stopping=EarlyStopping()), inputs, context)
    note = json.loads((context.work / "best.json").read_text())
    [score] = note["score"]
    assert -score == pytest.approx(result.counts["validation_loss"]["after"], abs=1e-4)


def kill_after_steps(work: Path, steps: int) -> None:
    """SIGKILL to torchrun's process group once `steps` steps stand in the log."""
    metrics = work / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= steps)
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        if b"llm.training.ranks.agent" in command and str(work / "job.json").encode() in command:
            os.killpg(os.getpgid(int(process.name)), signal.SIGKILL)
            return


@pytest.mark.parametrize(
    "shape",
    [
        {"preset": "nanogpt-tiny"},
        {"preset": "qwen3", "logit_soft_cap": 30.0, "feed_forward": "relu2"},
    ],
    ids=lambda shape: "-".join(map(str, shape.values())),
)
def test_a_base_model_of_any_layout_is_tuned(
    shape: dict[str, Any], inputs: Inputs, tmp_path: Path
) -> None:
    sizes = {"layers": 1, "d_model": 32, "heads": 2, "hidden": 64, "context_length": CONTEXT}
    tokenizer = byte_tokenizer()
    model = Decoder(ModelSettings(**shape, **sizes).resolve(tokenizer.get_vocab_size()))
    model.initialise(seed=0)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    folder.save(model, tmp_path / "base" / "model", tmp_path / "tokenizer.json")
    made = at(tmp_path / "made")
    finetune(settings(steps=1), {**inputs, "model": [tmp_path / "base"]}, made)
    assert folder.read_config(made.out / "model") == folder.read_config(tmp_path / "base" / "model")

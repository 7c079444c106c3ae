"""Small base models, examples and rows of each task, for tests of what is checked before training."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from llm.examples.settings import CONVERSATIONS, LABEL, PAIRS, PREFERENCES, TEXTS, VALUE, Column
from llm.examples.shards import Example, ShardWriter
from llm.machine import Machine
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
from llm.step import Context, Inputs, Reporter, StepResult
from llm.tokens.special import reserved
from llm.training.finetune.classify import ClassifySettings
from llm.training.finetune.instruct import InstructSettings
from llm.training.finetune.prefer import PreferSettings
from llm.training.finetune.prepare import prepare
from llm.training.finetune.proof.settings import Proving
from llm.training.finetune.proof.step import prove
from llm.training.finetune.regress import RegressSettings
from llm.training.finetune.settings import ProofSettings, shaping
from llm.training.finetune.translate import TranslateSettings
from tests.llm.models.random_weights import randomise
from tests.llm.training.finetune.talks import byte_tokenizer

CONTEXT = 128
SIZES: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 2, "hidden": 64}
WORDS = ("apple", "plum", "saw", "fig", "axe", "drill")


def talk(number: int) -> list[dict[str, Any]]:
    """A conversation: short, of two answers, with a system prompt, or longer than the context."""
    word = WORDS[number % len(WORDS)]
    asked = {"role": "user", "content": f"{word} {number}?"}
    said = {"role": "assistant", "content": f"Ä {word}."}
    if number % 4 == 1:
        return [asked, said]
    if number % 4 == 2:
        return [{"role": "system", "content": "Be brief."}, asked, said]
    if number % 9 == 8:
        return [asked, {"role": "assistant", "content": word * 60}]
    return [{**asked, "content": word}, said, {**asked, "content": "?"}, said]


def texts(number: int) -> tuple[str, str]:
    """A text, perhaps with a second one."""
    word = WORDS[number % len(WORDS)]
    return f"the {word} " * (1 + number % 4), word if number % 3 else ""


@dataclass(frozen=True)
class Kind:
    """A task on a shape of model, and the cells of its examples."""

    values: Any
    shape: dict[str, Any]
    columns: Sequence[Column]
    cells: Callable[[int], tuple[Any, ...]]


def _pair(number: int) -> tuple[str, str]:
    word = WORDS[number % len(WORDS)]
    return f"{word} {number}", f"{word[::-1]} ü"


INSTRUCT = InstructSettings(name="ask", data="x")
TRANSLATE: dict[str, Any] = {"task": "translate", "name": "de", "data": "x"}
BOTH = {"source_language": "English", "target_language": "German", "both_directions": True}
CLASSIFY: dict[str, Any] = {"task": "classify", "name": "kind", "data": "x"}
REGRESS: dict[str, Any] = {"task": "regress", "name": "size", "data": "x"}
ENCODER = {"preset": "bert"}
BART = {"preset": "bart", "hidden": None, "kv_heads": None}


def _talks(number: int) -> tuple[Any, ...]:
    return (talk(number),)


def _labels(number: int) -> tuple[Any, ...]:
    return (*texts(number), [("tool", "fruit")[number % 2]])


def _several(number: int) -> tuple[Any, ...]:
    return (*texts(number), ["tool", "fruit", "red"][: number % 4])


def _values(number: int) -> tuple[Any, ...]:
    return (*texts(number), [float(number), number / 3 - 2])


def _preference(number: int) -> tuple[Any, ...]:
    [asked, *_] = talk(1 + 4 * number)
    answers = (f"Ä {asked['content']}.", "No." * (1 + number % 3))
    return ([asked], *([{"role": "assistant", "content": answer}] for answer in answers))


OF_LABELS, OF_VALUES = (*TEXTS, LABEL), (*TEXTS, VALUE)
KINDS = {
    "instruct decoder": Kind(INSTRUCT, {}, CONVERSATIONS, _talks),
    "instruct gpt2": Kind(INSTRUCT, {"preset": "gpt2"}, CONVERSATIONS, _talks),
    "instruct bart": Kind(INSTRUCT, BART, CONVERSATIONS, _talks),
    "translate decoder": Kind(TranslateSettings(**TRANSLATE, **BOTH), {}, PAIRS, _pair),
    "translate bart": Kind(TranslateSettings(**TRANSLATE, **BOTH), BART, PAIRS, _pair),
    "prefer": Kind(
        PreferSettings(task="prefer", name="tone", data="x"), {}, PREFERENCES, _preference
    ),
    "classify bert": Kind(ClassifySettings(**CLASSIFY), ENCODER, OF_LABELS, _labels),
    "classify several": Kind(ClassifySettings(**CLASSIFY), {}, OF_LABELS, _several),
    "classify bart": Kind(ClassifySettings(**CLASSIFY), BART, OF_LABELS, _labels),
    "regress bert": Kind(RegressSettings(**REGRESS), ENCODER, OF_VALUES, _values),
    "regress gpt2": Kind(RegressSettings(**REGRESS), {"preset": "gpt2"}, OF_VALUES, _values),
}


def base_of(root: Path, shape: dict[str, Any], tokenizer: Tokenizer | None = None) -> Path:
    """An artifact with a small model, of bytes, whose weights are large enough to tell rows apart."""
    tokenizer = tokenizer or byte_tokenizer(reserved(("chat", "masking")))
    settings = ModelSettings(**{**SIZES, "context_length": CONTEXT, **shape})
    model = build(settings.resolve(tokenizer.get_vocab_size()), torch.float32)
    randomise(model)
    root.mkdir(parents=True)
    tokenizer.save(str(root / "tokenizer.json"))
    folder.save(model, root / "base" / "model", root / "tokenizer.json")
    return root / "base"


def data_of(root: Path, kind: Kind, counts: dict[str, int] | None = None) -> Path:
    """Example shards, each example with its line in a file."""
    root.mkdir(parents=True)
    for split, count in (counts or {"train": 40, "validation": 9}).items():
        with ShardWriter(root / f"{split}.arrow", kind.columns, split) as shard:
            for number in range(count):
                shard.add(Example(kind.cells(number), "", f"{split}.jsonl", number + 1))
    return root


def context_of(root: Path, **machine: Any) -> Context:
    """A step's context in a new folder."""
    shutil.rmtree(root, ignore_errors=True)
    for name in ("out", "work"):
        (root / name).mkdir(parents=True)
    return Context(out=root / "out", work=root / "work", machine=Machine(device="cpu", **machine))


def rows_of(root: Path, values: Any, base: Path, data: Path) -> Inputs:
    """The inputs of the prove step: what the rows step makes of a base model and examples."""
    made: Inputs = {"model": [base], "data": [data]}
    context = context_of(root / "rows")
    prepare(values, made, context)
    return {**made, "rows": [context.out]}


def proof_of(
    root: Path,
    values: Any,
    inputs: Inputs,
    parallelism: str = "auto",
    report: Reporter | None = None,
    **how: Any,
) -> tuple[StepResult, Path]:
    """What the prove step finds, and where it wrote it."""
    context = context_of(root / "proof", parallelism=parallelism)
    context = replace(context, report=report or Reporter())
    proving = Proving(task=shaping(values), proof=ProofSettings(**how))
    return prove(proving, inputs, context), context.out

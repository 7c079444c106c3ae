"""Faults that make fine-tuning fail in silence: the code is broken in each way, and every run is stopped.

Eight are stopped by the step prove, before training; the merge of an adapter and the order of a resumed
run are checked by the step finetune.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm.examples import in_chat
from llm.models.decoder import Decoder
from llm.models.encoder import Encoder
from llm.models.low_rank import merge
from llm.step import BadInput, Context, StepResult
from llm.tokens.rows import IGNORE
from llm.tokens.special import END_OF_TEXT_ID, MESSAGE_END_ID
from llm.training import loop
from llm.training.batch import Batch
from llm.training.finetune import lora, packed, pairs, step, texts
from llm.training.finetune.packed import Encoded, Packed
from llm.training.finetune.pairs import PackedPairs
from llm.training.finetune.settings import LoraSettings
from llm.training.finetune.texts import TextRows
from llm.training.finetune.translate import Translate
from llm.training.incidents import Incidents
from llm.training.ranks import launch
from llm.training.ranks.rank import Group
from llm.training.run import TrainingRun
from llm.training.ways.accelerated import Accelerated
from llm.training.ways.flat import Flat
from tests.llm.training.finetune.proving import (
    INSTRUCT,
    KINDS,
    base_of,
    context_of,
    data_of,
    proof_of,
    rows_of,
)

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], None]


def proved(name: str, root: Path, parallelism: str = "auto") -> StepResult:
    """Rows of a kind of task, made and proved by the code as it is now."""
    kind = KINDS[name]
    base, data = base_of(root / "base", kind.shape), data_of(root / "data", kind)
    inputs = rows_of(root, kind.values, base, data)
    return proof_of(root, kind.values, inputs, parallelism)[0]


def in_talks(change: Callable[[list[int], list[bool]], tuple[list[int], list[bool]]]) -> Mutation:
    """Conversations come out of their encoding changed."""

    def mutate(patch: Patch) -> None:
        encode = in_chat.encode_conversations

        def changed(*given: Any) -> Iterator[tuple[list[int], list[bool]]]:
            return (change(ids, learn) for ids, learn in encode(*given))

        patch.setattr(in_chat, "encode_conversations", changed)

    return mutate


def in_batches(kind: type[Any], change: Callable[[dict[str, Any]], None]) -> Mutation:
    """Batches come out of the rows changed."""

    def mutate(patch: Patch) -> None:
        read = kind.read

        def changed(self: Any, numbers: Any) -> Batch:
            found = read(self, numbers)
            arrays = {name: array.copy() for name, array in found.arrays.items()}
            change(arrays)
            return Batch.of(**arrays) if "weights" not in arrays else Batch(arrays, found.learned)

        patch.setattr(kind, "read", changed)

    return mutate


def ends_unlearned(ids: list[int], learn: list[bool]) -> tuple[list[int], list[bool]]:
    return ids, [one and token != MESSAGE_END_ID for one, token in zip(learn, ids, strict=True)]


def all_learned(ids: list[int], learn: list[bool]) -> tuple[list[int], list[bool]]:
    return ids, [True] * len(ids)


def begun_twice(ids: list[int], learn: list[bool]) -> tuple[list[int], list[bool]]:
    return [END_OF_TEXT_ID, END_OF_TEXT_ID, *ids], [False, False, *learn]


def ends_masked_as_padding(arrays: dict[str, Any]) -> None:
    arrays["targets"][arrays["targets"] == MESSAGE_END_ID] = IGNORE


def padding_trained(arrays: dict[str, Any]) -> None:
    arrays["targets"][arrays["segments"] == 0] = MESSAGE_END_ID


def nothing_learned(arrays: dict[str, Any]) -> None:
    arrays["targets"][:] = IGNORE


def one_segment(arrays: dict[str, Any]) -> None:
    for name in ("segments", "source_segments"):
        if name in arrays:
            arrays[name][arrays[name] > 0] = 1


def no_segments(arrays: dict[str, Any]) -> None:
    arrays.pop("segments")


def end_lost(arrays: dict[str, Any]) -> None:
    for name in ("tokens", "segments", "targets"):
        arrays[name] = arrays[name][:, :-40]


def a_text_uncounted(arrays: dict[str, Any]) -> None:
    arrays["weights"][:, -1] = -1


def cut_early(length: int) -> Mutation:
    """Examples lose all but their beginning before they are packed."""

    def mutate(patch: Patch) -> None:
        write = packed.write

        def short(files: Any, examples: Iterable[Encoded], *more: Any) -> Any:
            cut = (Encoded(one.ids[:length], one.learn[:length], one.origin) for one in examples)
            return write(files, cut, *more)

        patch.setattr(packed, "write", short)

    return mutate


def short_context(patch: Patch) -> None:
    """Rows are cut after 23 tokens, where hardly an answer has begun."""
    write = packed.write
    patch.setattr(packed, "write", lambda f, e, length, ids: write(f, e, 23, ids))


def an_example_unpacked(patch: Patch) -> None:
    """The last example is packed into no row."""
    for module in (packed, pairs):
        write = packed.write_plan
        patch.setattr(module, "write_plan", lambda p, r, s, write=write: write(p, r[:-1], s[:-1]))


def segments_unread(patch: Patch) -> None:
    """The decoder takes no notice of segments."""
    hidden = Decoder.hidden_states

    def blind(self: Any, tokens: Any, *_: Any, wanted: Any = None, **__: Any) -> Any:
        return hidden(self, tokens, wanted=wanted)

    patch.setattr(Decoder, "hidden_states", blind)


def encoder_sees_all(patch: Patch) -> None:
    """The encoder's attention takes no notice of segments, the head for texts does."""
    hidden = Encoder.hidden_states

    def blind(self: Any, tokens: Any, segments: Any = None, *given: Any, **named: Any) -> Any:
        return hidden(self, tokens, (segments > 0).long(), *given, **named)

    patch.setattr(Encoder, "hidden_states", blind)


def step_divided_by_parts(patch: Patch) -> None:
    """The gradient is the mean over the parts of each part's mean."""
    reduce = Flat.reduce

    def wrong(self: Flat) -> None:
        for part, gradient in enumerate(self.gradients):
            gradient *= float(self.counts.sum()) / (len(self.gradients) * float(self.counts[part]))
        reduce(self)

    patch.setattr(Flat, "reduce", wrong)


def divided_by_the_last_micro_batch(patch: Patch) -> None:
    """A part's loss counts as much as its last micro-batch has learned tokens."""

    def wrong(loss: Any, rows: Batch, size: int, *more: Any) -> tuple[float, float]:
        total, _ = gradients(loss, rows, size, *more)
        return total, float(rows.learned[(len(rows) - 1) // size * size :].sum())

    gradients = loop.gradients
    patch.setattr(loop, "gradients", wrong)


def translations_begun_twice(patch: Patch) -> None:
    encode = Translate.encode

    def twice(self: Any, *given: Any) -> Iterator[Encoded]:
        for one in encode(self, *given):
            yield replace(one, ids=[END_OF_TEXT_ID, *one.ids], learn=[False, *one.learn])

    patch.setattr(Translate, "encode", twice)


def marks_put_twice(patch: Patch) -> None:
    write = texts.write

    def twice(folder: Path, given: Any, *more: Any) -> Any:
        doubled = (one._replace(ids=[one.ids[0], *one.ids], second=one.second + 1) for one in given)
        return write(folder, doubled, *more)

    patch.setattr(texts, "write", twice)


def labels_shifted(arrays: dict[str, Any]) -> None:
    arrays["targets"] = np.roll(arrays["targets"], 1, axis=1)


TALKS, PAIRS, LABELS = "instruct decoder", "instruct bart", "classify bert"
DECODERS, CODERS = "translate decoder", "translate bart"
# Fault, way, task: how the code is broken, and what the user is told.
MUTATIONS: dict[tuple[str, str], tuple[str, Mutation, str]] = {
    ("the end of a turn is not learned", "decoder"): (
        TALKS,
        in_talks(ends_unlearned),
        "the model would not learn to end",
    ),
    ("the end of a turn is not learned", "encoder-decoder"): (
        PAIRS,
        in_talks(ends_unlearned),
        "the model would not learn to end",
    ),
    ("padding is the end token", "and masked"): (
        TALKS,
        in_batches(Packed, ends_masked_as_padding),
        "the model would not learn to end",
    ),
    ("padding is the end token", "and masked in pairs"): (
        CODERS,
        in_batches(
            PackedPairs,
            lambda a: a["targets"].__setitem__(a["targets"] == END_OF_TEXT_ID, IGNORE),
        ),
        "tokens were dropped|the model would not learn to end",
    ),
    ("padding is the end token", "and trained"): (
        TALKS,
        in_batches(Packed, padding_trained),
        "the padding behind its examples is trained",
    ),
    ("padding is the end token", "and trained in pairs"): (
        CODERS,
        in_batches(PackedPairs, padding_trained),
        "the padding behind its examples is trained",
    ),
    ("the mask is lost", "decoder"): (
        TALKS,
        in_talks(all_learned),
        "the model would not learn to end|runs of tokens are learned|is not the answer",
    ),
    ("truncation removes answers", "before they are counted"): (
        TALKS,
        cut_early(40),
        r"it had 40 tokens, and its text has \d+|the model would not learn to end",
    ),
    ("truncation removes answers", "of most examples"): (
        TALKS,
        short_context,
        r"\d+ of 40 examples have nothing to learn within the model's context, the first in train.jsonl, line 1 ",
    ),
    ("no target at all", "decoder"): (
        TALKS,
        in_batches(Packed, nothing_learned),
        "nothing of it is learned",
    ),
    ("no target at all", "encoder-decoder"): (
        PAIRS,
        in_batches(PackedPairs, nothing_learned),
        "nothing of it is learned",
    ),
    ("packing", "one segment for all"): (
        TALKS,
        in_batches(Packed, one_segment),
        "examples see each other",
    ),
    ("packing", "one segment for all pairs"): (
        CODERS,
        in_batches(PackedPairs, one_segment),
        "examples see each other",
    ),
    ("packing", "no segments"): (TALKS, in_batches(Packed, no_segments), "see each other"),
    ("packing", "segments that the decoder does not read"): (
        TALKS,
        segments_unread,
        "packing changes what is learned",
    ),
    ("packing", "segments that the encoder does not read"): (
        LABELS,
        encoder_sees_all,
        "packing changes what is learned",
    ),
    ("packing", "an example in no row"): (
        TALKS,
        an_example_unpacked,
        "it stands 0 times in the rows of train",
    ),
    ("packing", "the end of rows lost"): (
        TALKS,
        in_batches(Packed, end_lost),
        "the row ends before it does",
    ),
    ("packing", "a text that counts nothing"): (
        LABELS,
        in_batches(TextRows, a_text_uncounted),
        "texts, and .* of them are counted",
    ),
    ("packing", "labels of the neighbour"): (
        LABELS,
        in_batches(TextRows, labels_shifted),
        "is learned of it, and . stands in the example",
    ),
    ("the loss is divided wrongly", "between parts"): (
        TALKS,
        step_divided_by_parts,
        "the step is divided wrongly",
    ),
    ("the loss is divided wrongly", "between micro-batches"): (
        TALKS,
        divided_by_the_last_micro_batch,
        "the step is divided wrongly",
    ),
    ("two begin tokens", "of a translation"): (
        DECODERS,
        translations_begun_twice,
        f"it begins with token {END_OF_TEXT_ID} twice",
    ),
    ("two begin tokens", "of a conversation"): (
        TALKS,
        in_talks(begun_twice),
        f"it begins with token {END_OF_TEXT_ID} twice",
    ),
    ("two begin tokens", "of a text"): (
        LABELS,
        marks_put_twice,
        "where its text is read as the model folder says|it had .* tokens",
    ),
}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=": ".join)
def test_prove_stops_a_run_on_each_fault(
    mutation: tuple[str, str], tmp_path: Path, monkeypatch: Patch
) -> None:
    name, mutate, told = MUTATIONS[mutation]
    mutate(monkeypatch)
    with pytest.raises(BadInput, match=told):
        proved(name, tmp_path)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in MUTATIONS.values()}))
def test_prove_passes_the_same_rows_when_nothing_is_broken(name: str, tmp_path: Path) -> None:
    assert proved(name, tmp_path).counts["train"]["compared"] > 0


def test_the_passes_of_gpus_are_proved_too(tmp_path: Path, monkeypatch: Patch) -> None:
    """ddp on the processor makes the passes that GPUs make: a mean over micro-batches is found there."""
    assert proved(TALKS, tmp_path / "whole", "ddp").counts["train"]["compared"] > 0
    finish = Accelerated.finish
    monkeypatch.setattr(
        Accelerated, "finish", lambda self, loss, learned: finish(self, loss, learned + 1)
    )
    with pytest.raises(BadInput, match="the step is divided wrongly"):
        proved(TALKS, tmp_path / "broken", "ddp")


@dataclass
class Tuning:
    """The step finetune on one set of rows, trained in this process, so that it meets what is patched."""

    root: Path
    patch: Patch
    adapt: LoraSettings | None = None

    def __post_init__(self) -> None:
        kind = KINDS[TALKS]
        base, data = base_of(self.root / "base", kind.shape), data_of(self.root / "data", kind)
        self.values = replace(
            INSTRUCT, steps=20, batch_tokens=5 * 128, precision="fp32", adapt=self.adapt
        )
        self.inputs = rows_of(self.root, self.values, base, data)
        self.context = context_of(self.root / "tuned")

    def run(self, stopped_at: int | None = None) -> StepResult:
        """From the last checkpoint on. stopped_at: steps after which the process is asked to stop."""
        noted = TrainingRun.note

        def note(run: TrainingRun, done: int, *more: Any) -> None:
            noted(run, done, *more)
            run.group.stopping = done == stopped_at

        def train(module: str, job: Mapping[str, Any], context: Context, **_: Any) -> None:
            with self.patch.context() as patch:
                patch.setattr(TrainingRun, "note", note)
                if not step.train(dict(job), Group(), context.work):
                    raise InterruptedError(f"asked to stop after {stopped_at} steps")

        shutil.rmtree(self.context.out)
        self.context.out.mkdir()
        with self.patch.context() as patch:
            patch.setattr(launch, "train", train)
            return step.finetune(self.values, self.inputs, self.context)


def test_a_merge_that_leaves_new_rows_behind_stops_the_run(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    def forgetful(model: Any) -> None:
        model.new_embedding = model.new_head = None
        merge(model)

    lora_settings = LoraSettings(type="lora", rank=2)
    assert Tuning(tmp_path / "whole", monkeypatch, lora_settings).run().counts["steps"] == 20
    monkeypatch.setattr(lora, "merge", forgetful)
    with pytest.raises(RuntimeError, match="the adapter was not merged as it was trained"):
        Tuning(tmp_path / "broken", monkeypatch, lora_settings).run()


@pytest.mark.parametrize(
    ("ahead", "told"),
    [(0, None), (3, "rows were repeated or skipped"), (-3, "rows were repeated or skipped")],
)
def test_a_resumed_run_that_skips_or_repeats_data_is_stopped(
    ahead: int, told: str | None, tmp_path: Path, monkeypatch: Patch
) -> None:
    tuning = Tuning(tmp_path, monkeypatch)
    with pytest.raises(InterruptedError):
        tuning.run(stopped_at=7)
    data_step = Incidents.data_step
    monkeypatch.setattr(Incidents, "data_step", lambda self, at: data_step(self, at) + ahead)
    if told is None:
        assert tuning.run().counts["steps"] == 20
        return
    with pytest.raises(RuntimeError, match=told):
        tuning.run()

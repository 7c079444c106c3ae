"""The task prefer: of two answers, the chosen one becomes more likely than the rejected (DPO)."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llm.examples.settings import PREFERENCES, Column
from llm.settings import section, setting
from llm.step import BadInput, Reporter
from llm.training.finetune.sequences import Sequences
from llm.training.finetune.settings import EarlyStopping, FinetuneSettings, TuningSchedule
from llm.training.finetune.task import Setup
from llm.words import counted

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from llm.examples.shards import Example, Shard
    from llm.models.decoder import Decoder
    from llm.training.finetune.claims import Claims
    from llm.training.finetune.packed import Encoded
    from llm.training.finetune.preferences import PreferenceRows
    from llm.training.objectives.preference import Preference


@section
class PreferSchedule(TuningSchedule):
    """How the learning rate moves where a model learns preferences: it has to stay near its reference."""

    peak_lr: float = setting(default=0.0001, description="Highest learning rate (no unit).", gt=0)


@section
class PreferSettings(FinetuneSettings):
    """A model learns which answers are preferred (DPO, arXiv 2305.18290)."""

    task: Literal["prefer"] = setting(
        description="Kind of task: prefer learns which of two answers is the better."
    )
    beta: float = setting(
        default=0.1,
        description="How much a preference counts against staying near the model that training starts from (no "
        "unit): less of it, farther away.",
        gt=0,
        shapes=False,
    )
    label_smoothing: float = setting(
        default=0.0,
        description="Share of the preferences that are taken to be wrong (0 to 0.5).",
        ge=0,
        lt=0.5,
        shapes=False,
    )
    schedule: PreferSchedule = setting(
        default=PreferSchedule, description="The learning rate by step."
    )
    early_stopping: EarlyStopping | None = setting(
        default=EarlyStopping,
        description="How the best weights are found on held-out examples; none: the last ones are kept.",
    )


class Prefer(Sequences):
    """Pairs of conversations; of each, the answers that the two do not share are compared."""

    settings = PreferSettings
    reserves = ("chat",)
    chosen_by = "accuracy"
    refers = True

    def columns(self, values: PreferSettings) -> Sequence[Column]:
        """A prompt and two answers to it."""
        return PREFERENCES

    def chat_template(self) -> str:
        """The template of the ids that are compared."""
        from llm.tokens.chat import CHAT_TEMPLATE

        return CHAT_TEMPLATE

    def claims(self, setup: Setup, folder: Path) -> "Claims":
        """Both conversations in the folder's template, and the answers that the two do not share."""
        from llm.tokens.template import ChatTemplate
        from llm.training.finetune.claims import Claim

        template = ChatTemplate.of(folder)
        assert template is not None, "the task writes one"

        def of(example: "Example") -> "Sequence[Claim]":
            prompt, *sides = example.cells
            return [
                Claim(
                    text=template.render([*prompt, *side]),
                    answers=[
                        one["content"].strip()
                        for one in side
                        if one.get("train", one["role"] == "assistant")
                    ],
                )
                for side in sides
            ]

        return of

    def prepare(
        self, setup: Setup, split: str, shard: Path, files: Path, report: Reporter
    ) -> Mapping[str, int]:
        """Pack a split's pairs into rows of the base model's context."""
        from tokenizers import Tokenizer

        from llm.examples.shards import Shard
        from llm.tokens.special import id_count
        from llm.training.finetune.preferences import write

        base = setup.base
        tokenizer = Tokenizer.from_file(str(base.tokenizer))
        pairs = encode(Shard.open(shard), tokenizer)
        found = write(files, pairs, base.context_length, id_count(tokenizer))
        if split == "train" and not found.examples:
            raise BadInput(
                f"finetune {setup.values.name}: no pair in {shard} fits the model's context of "
                f"{base.context_length} tokens"
            )
        if found.too_long:
            report.warning(
                f"{counted(found.too_long, 'pair')} for {split} with an answer beyond "
                f"{base.context_length:,} tokens: left out"
            )
        return dataclasses.asdict(found)

    def rows(self, setup: Setup, files: Path) -> "PreferenceRows":  # type: ignore[override]
        """The packed pairs, with what the reference makes of them where it was asked."""
        from tokenizers import Tokenizer

        from llm.tokens.rows import FILLING
        from llm.tokens.special import PADDING
        from llm.training.finetune.preferences import REFERENCE, PreferenceRows

        padding = Tokenizer.from_file(str(setup.base.tokenizer)).token_to_id(PADDING)
        padding = FILLING if padding is None else padding
        reference = None if setup.reference is None else setup.reference / files.name / REFERENCE
        return PreferenceRows(files, setup.base.context_length, padding, reference)

    def objective(self, setup: Setup) -> "Preference":
        """The preference of each pair."""
        from llm.training.objectives.preference import Preference

        return Preference(setup.values.beta, setup.values.label_smoothing)

    def measure(  # type: ignore[override]
        self, setup: Setup, model: "Decoder", rows: "PreferenceRows"
    ) -> Mapping[str, float | None]:
        """loss; accuracy: how often the chosen answer gained more; margin: by how much (nats, times beta).

        chosen_nats: of a chosen answer, the mean.
        """
        import numpy as np

        from llm.training.finetune.reference import measured

        names = ("loss", "accuracy", "margin", "chosen_nats")
        if not len(rows):
            return dict.fromkeys(names)
        parts = [(nats, reference) for _, nats, reference in measured(model, rows)]
        nats, reference = (np.concatenate(each) for each in zip(*parts, strict=True))
        gained = (reference - nats).astype(float)
        margins = setup.values.beta * (gained[:, 0] - gained[:, 1])
        right, wrong = (np.logaddexp(0, -sign * margins) for sign in (1, -1))
        smoothing = setup.values.label_smoothing
        each = (1 - smoothing) * right + smoothing * wrong
        figures = (each.mean(), (margins > 0).mean(), margins.mean(), nats[:, 0].mean())
        return dict(zip(names, map(float, figures), strict=True))


def encode(shard: "Shard", tokenizer: "Tokenizer") -> "Iterator[tuple[Encoded, Encoded]]":
    """Each pair of a shard as two conversations in the chat template. Raises BadInput naming file and line."""
    from llm.examples.in_chat import preferences_in_chat
    from llm.training.finetune.packed import Encoded

    for chosen, rejected in preferences_in_chat(shard, tokenizer):
        yield Encoded(chosen.ids, chosen.learn), Encoded(rejected.ids, rejected.learn)

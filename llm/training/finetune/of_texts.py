"""What tasks share whose models say something of whole texts: labels or values.

The texts, or pairs of them, are packed into rows (`texts`), the base model's head for tokens makes room
for one for texts (`llm.models.output_head`), and the best weights by a held-out figure are kept (`best`).
A task adds its section, the column of what is to be said, and what its outputs mean.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llm.examples.settings import TEXTS, Column
from llm.settings import section, setting
from llm.step import Reporter
from llm.training.finetune.settings import (
    EarlyStopping,
    FinetuneSettings,
    TuningOptimizer,
    TuningSchedule,
)
from llm.training.finetune.task import Base, Setup
from llm.words import counted

if TYPE_CHECKING:
    import numpy as np
    import torch

    from llm.examples.shards import Example
    from llm.models.config import Outputs, Pooling
    from llm.models.language_model import LanguageModel
    from llm.training.finetune.claims import Claim, Claims
    from llm.training.finetune.texts import TextRows
    from llm.training.objectives.of_texts import HiddenTokens, TextLoss

LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers")
# A head of the base model that a head for texts goes on from.
CARRIED = {"output_head.pooler": "next_sentence.pooler"}
ROWS = 8  # of one pass without gradients


@section
class TextSchedule(TuningSchedule):
    """How the learning rate moves where a model learns to say something of texts."""

    peak_lr: float = setting(default=0.003, description="Highest learning rate (no unit).", gt=0)


@section
class TextOptimizer(TuningOptimizer):
    """The optimizer: for small models and short texts, Muon learns more of each example."""

    type: Literal["adamw", "muon"] = setting(
        default="muon",
        description="adamw; or muon for the matrices inside blocks, with adamw for the rest.",
    )
    weight_decay: float = setting(
        default=0.1,
        description="Decoupled decay of matrices per step, times the learning rate (no unit).",
        ge=0,
    )


@section
class OfTextsSettings(FinetuneSettings):
    """How a base model learns to say something of whole texts."""

    batch_tokens: int = setting(
        default=2048, description="Tokens of one optimizer step, padding included.", gt=0
    )
    epochs: float = setting(
        default=15.0, description="How often every example is seen (count).", gt=0
    )
    schedule: TextSchedule = setting(default=TextSchedule, description="The learning rate by step.")
    optimizer: TextOptimizer = setting(
        default=TextOptimizer, description="The optimizer and its constants."
    )
    dropout: float | None = setting(
        default=0.3,
        description="Share of activations that is zeroed in training (0 to 1); none: the base model's.",
        ge=0,
        lt=1,
        shapes=False,
    )
    hidden_tokens: float = setting(
        default=0.0,
        description="Share of the tokens that is hidden from the model in training, as in masked pretraining "
        "(0 to 1).",
        ge=0,
        lt=1,
        shapes=False,
    )
    early_stopping: EarlyStopping | None = setting(
        default=EarlyStopping,
        description="How the best weights are found on held-out examples; none: the last ones are kept.",
    )


class OfTexts:
    """A task (`llm.training.finetune.task.Task`) but for what is said of a text."""

    settings: ClassVar[type[OfTextsSettings]]
    architectures: ClassVar[Sequence[str]] = ("encoder", "decoder", "encoder_decoder")
    writes: ClassVar[bool] = False
    refers: ClassVar[bool] = False
    reserves: ClassVar[Sequence[str]] = ()
    said: ClassVar[Column]
    """The column of what is to be said."""

    chosen_by: ClassVar[str]

    def columns(self, values: Any) -> Sequence[Column]:
        """A text, perhaps a second one, and what is to be said of them."""
        return (*TEXTS, self.said)

    def facts(self, values: Any, shard: Path, base: Base) -> Mapping[str, Any]:
        """What the outputs are: labels, and what else a task needs."""
        raise NotImplementedError

    def outputs(self, setup: Setup, pooling: "Pooling") -> "Outputs":
        """What the head says."""
        raise NotImplementedError

    def targets(
        self, setup: Setup, cells: Sequence[Any], report: Reporter, split: str
    ) -> "tuple[np.ndarray, np.ndarray]":
        """What is to be said of each text, (N, ...), and how much it counts, (N,)."""
        raise NotImplementedError

    def target_of(self, setup: Setup, folder: Path) -> Callable[[Any], Any]:
        """What is to be said of a text by its cell, as rows have it. folder: as `save` writes it."""
        raise NotImplementedError

    def loss(self, setup: Setup, hiding: "HiddenTokens | None") -> "TextLoss":
        """What is asked of the model, and how tokens are hidden from it."""
        raise NotImplementedError

    def figures(
        self, setup: Setup, outputs: "np.ndarray", targets: "np.ndarray"
    ) -> Mapping[str, float | None]:
        """How good outputs (N, labels) are: `loss` and others."""
        raise NotImplementedError

    def prepare(
        self, setup: Setup, split: str, shard: Path, files: Path, report: Reporter
    ) -> Mapping[str, int]:
        """Encode a split's texts with their marks, and pack them."""
        import numpy as np
        from tokenizers import Tokenizer

        from llm.examples.shards import Shard
        from llm.tokens.marked import Marks, encode_marked
        from llm.tokens.special import id_count
        from llm.training.finetune.texts import write

        base = setup.base
        tokenizer = Tokenizer.from_file(str(base.tokenizer))
        marks = Marks.of(tokenizer, base.config.architecture)
        cells: list[Any] = []

        def pairs(chunk: "Sequence[Example]") -> Iterator[tuple[str, str]]:
            for one in chunk:
                cells.append(one.cells[-1])
                yield one.cells[0], one.cells[1]

        texts = [
            marked
            for chunk in Shard.open(shard).chunks(self.columns(setup.values))
            for marked in encode_marked(tokenizer, marks, list(pairs(chunk)), base.context_length)
        ]
        targets, weights = self.targets(setup, cells, report, split)
        longest = max((len(one.ids) for one in texts), default=1)
        row_length = min(base.context_length, max(2 * longest, 128))
        found = write(files, texts, np.asarray(targets), weights, row_length, id_count(tokenizer))
        if found["too_long"]:
            report.warning(
                f"{counted(found['too_long'], 'example')} for {split} longer than "
                f"{base.context_length:,} tokens: cut at the end"
            )
        return found

    def rows(self, setup: Setup, files: Path) -> "TextRows":
        """The packed texts."""
        from tokenizers import Tokenizer

        from llm.tokens.special import PADDING, special_ids
        from llm.training.finetune.texts import Reading, TextRows

        config = setup.base.config
        start = None
        if config.architecture == "encoder_decoder":
            tokenizer = Tokenizer.from_file(str(setup.base.tokenizer))
            start = special_ids(tokenizer, (PADDING,))[PADDING]
        return TextRows(files, Reading(config.token_types > 1, start))

    def claims(self, setup: Setup, folder: Path) -> "Claims":
        """The text as the folder's tokenizer reads it, and what is to be said of it."""
        from llm.training.finetune.claims import Claim

        target_of = self.target_of(setup, folder)

        def of(example: "Example") -> "Sequence[Claim]":
            text, second, said = example.cells
            read = (text, second) if second else text
            return [Claim(text=read, marked=True, target=target_of(said))]

        return of

    def model(
        self, setup: Setup, device: "torch.device", compute_type: "torch.dtype"
    ) -> "LanguageModel":
        """The base model with a head for texts in the place of the one for tokens."""
        import torch

        from llm.models.build import build
        from llm.models.folder import load_model
        from llm.models.layouts.outputs import POOLING
        from llm.models.layouts.own import MODEL_TYPE
        from llm.parts import load as load_part

        base = load_model(setup.base.folder)
        pooling = POOLING[base.config.architecture]
        if base.config.architecture == "encoder" and base.config.export == MODEL_TYPE:
            pooling = "mean"
        dropout, layout = setup.values.dropout, base.config.export
        config = dataclasses.replace(
            base.config,
            outputs=self.outputs(setup, pooling),
            dropout=base.config.dropout if dropout is None else dropout,
        )
        if load_part("layout", str(layout)).misfits(layout, config):
            config = dataclasses.replace(config, export=MODEL_TYPE)
        made = build(config, compute_type)
        made.initialise(setup.values.seed)
        known = dict(base.named_parameters())
        with torch.no_grad():
            for name, parameter in made.named_parameters():
                module, _, kind = name.rpartition(".")
                found = known.get(f"{CARRIED.get(module, module)}.{kind}" if module else name)
                if found is not None and found.shape == parameter.shape:
                    parameter.copy_(found)
        return made.to(device)

    def objective(self, setup: Setup) -> "TextLoss":
        """What is asked of the model."""
        return self.loss(setup, hiding(setup))

    def measure(
        self, setup: Setup, model: "LanguageModel", rows: "TextRows"
    ) -> Mapping[str, float | None]:
        """The task's figures over all held-out texts."""
        return self.figures(setup, *collect(model, rows))

    def finish(
        self, setup: Setup, model: "LanguageModel", held_out: "TextRows"
    ) -> Mapping[str, float]:
        """Nothing is left to do."""
        return {}

    def save(self, setup: Setup, model: "LanguageModel", folder: Path) -> None:
        """Write the model, and a tokenizer that puts the marks."""
        from tokenizers import Tokenizer

        from llm.durable import write_bytes
        from llm.models.folder import save
        from llm.tokens.marked import Marks, with_marks

        path = setup.base.tokenizer
        save(model, folder, path)  # type: ignore[arg-type]
        marks = Marks.of(Tokenizer.from_file(str(path)), setup.base.config.architecture)
        write_bytes(folder / "tokenizer.json", with_marks(path, marks))


def hiding(setup: Setup) -> "HiddenTokens | None":
    """How tokens are hidden: behind the mask where the tokenizer has one, or else behind padding."""
    from tokenizers import Tokenizer

    from llm.tokens.special import MASK, PADDING
    from llm.training.objectives.of_texts import HiddenTokens

    tokenizer = Tokenizer.from_file(str(setup.base.tokenizer))
    known = (tokenizer.token_to_id(name) for name in (MASK, "[MASK]", PADDING))
    token = next((number for number in known if number is not None), None)
    if not setup.values.hidden_tokens or token is None:
        return None
    added = tokenizer.get_added_tokens_decoder().items()
    kept = tuple(sorted(number for number, one in added if one.special))
    return HiddenTokens(setup.values.hidden_tokens, token, kept)


def collect(model: "LanguageModel", rows: "TextRows") -> "tuple[np.ndarray, np.ndarray]":
    """What the model says of each text of the rows, (N, labels), and what it should, (N, ...)."""
    import numpy as np
    import torch

    from llm.training.objectives.of_texts import INPUTS

    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    outputs, targets = [], []
    with torch.no_grad():
        for first in range(0, len(rows), ROWS):
            batch = rows.read(np.arange(first, min(first + ROWS, len(rows))))
            tensors = batch.tensors(slice(None), device)
            said = model.outputs(**{name: tensors[name] for name in INPUTS if name in tensors})
            outputs.append(said.cpu().numpy())
            targets.append(batch["targets"][batch["weights"] >= 0])
    model.train(was_training)
    labels = model.config.outputs.labels if model.config.outputs else ()
    empty = np.zeros((0, len(labels)), np.float32)
    return np.concatenate([empty, *outputs]), np.concatenate(targets) if targets else empty

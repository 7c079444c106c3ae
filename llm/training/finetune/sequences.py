"""What tasks share whose examples are token sequences of which some tokens are learned.

The examples of such a task are packed into rows (`packed`), and a decoder learns to say the learned
tokens. A task adds its section, its columns and how an example is encoded.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from llm.examples.settings import Column
from llm.step import BadInput, Reporter
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import Base, Setup
from llm.words import counted

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from llm.examples.shards import Shard
    from llm.models.decoder import Decoder
    from llm.training.batch import Objective
    from llm.training.finetune.packed import Encoded, Packed

LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers")


class Sequences:
    """A task (`llm.training.finetune.task.Task`) but for what an example is."""

    settings: ClassVar[type[FinetuneSettings]]
    architectures: ClassVar[Sequence[str]] = ("decoder",)
    writes: ClassVar[bool] = True
    chosen_by: ClassVar[str | None] = None
    reserves: ClassVar[Sequence[str]] = ()

    def chat_template(self) -> str | None:
        """What the model folder says of how messages are put to it; None: it was taught none."""
        return None

    def columns(self, values: Any) -> Sequence[Column]:
        """What its examples have."""
        raise NotImplementedError

    def encode(self, values: Any, shard: "Shard", tokenizer: "Tokenizer") -> "Iterator[Encoded]":
        """Each example of a shard as tokens. Raises BadInput naming file and line."""
        raise NotImplementedError

    def facts(self, values: Any, shard: Path, base: Base) -> Mapping[str, Any]:
        """Nothing: each example says all of itself."""
        return {}

    def prepare(
        self, setup: Setup, split: str, shard: Path, files: Path, report: Reporter
    ) -> Mapping[str, int]:
        """Pack a split's examples into rows of the base model's context."""
        from tokenizers import Tokenizer

        from llm.examples.shards import Shard
        from llm.tokens.special import id_count
        from llm.training.finetune.packed import Files, write

        values, base = setup.values, setup.base
        tokenizer = Tokenizer.from_file(str(base.tokenizer))
        examples = self.encode(values, Shard.open(shard), tokenizer)
        found = write(Files.of(files), examples, base.context_length, id_count(tokenizer))
        if split == "train" and not found.examples:
            raise BadInput(
                f"finetune {values.name}: no example in {shard} has anything to learn within the "
                f"model's context of {base.context_length} tokens"
            )
        if found.too_long:
            report.warning(
                f"{counted(found.too_long, 'example')} for {split} longer than "
                f"{base.context_length:,} tokens: cut at the end"
            )
        return dataclasses.asdict(found)

    def rows(self, setup: Setup, files: Path) -> "Packed":
        """The packed rows."""
        from tokenizers import Tokenizer

        from llm.tokens.rows import FILLING
        from llm.tokens.special import PADDING
        from llm.training.finetune.packed import Files, Packed

        padding = Tokenizer.from_file(str(setup.base.tokenizer)).token_to_id(PADDING)
        return Packed(
            Files.of(files), setup.base.context_length, FILLING if padding is None else padding
        )

    def model(self, setup: Setup, device: str, compute_type: "torch.dtype") -> "Decoder":
        """The base decoder as it is."""
        from llm.models.folder import load_decoder

        return load_decoder(setup.base.folder, device, compute_type)

    def objective(self, setup: Setup) -> "Objective":
        """The next token, wherever it is learned."""
        from llm.training.objectives.next_token import NextToken

        return NextToken()

    def measure(self, setup: Setup, model: "Decoder", rows: "Packed") -> Mapping[str, float | None]:
        """loss: mean nats per learned token."""
        from llm.training.finetune.held_out import mean_loss

        return {"loss": mean_loss(model, self.objective(setup), rows, setup.values.validation_rows)}

    def finish(self, setup: Setup, model: "Decoder", held_out: "Packed") -> Mapping[str, float]:
        """Nothing is left to do."""
        return {}

    def save(self, setup: Setup, model: "Decoder", folder: Path) -> None:
        """Write the decoder with the base's tokenizer."""
        from llm.models.folder import save

        save(model, folder, setup.base.tokenizer, self.chat_template())

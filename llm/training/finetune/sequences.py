"""What tasks share whose examples are token sequences of which some tokens are learned.

The examples of such a task are packed into rows, and the model learns to say the learned tokens: a
decoder after those before them (`packed`), an encoder-decoder as targets of sources (`pairs`). A task
adds its section, its columns and how an example is encoded for each that it can start from.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

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
    from llm.models.encoder_decoder import EncoderDecoder
    from llm.training.batch import Objective
    from llm.training.finetune.claims import Claims
    from llm.training.finetune.packed import Encoded, Packed
    from llm.training.finetune.pairs import PackedPairs, Pair

    Model = Decoder | EncoderDecoder

LIBRARIES = ("torch", "numpy", "safetensors", "tokenizers")


class Sequences:
    """A task (`llm.training.finetune.task.Task`) but for what an example is."""

    settings: ClassVar[type[FinetuneSettings]]
    architectures: ClassVar[Sequence[str]] = ("decoder",)
    writes: ClassVar[bool] = True
    chosen_by: ClassVar[str | None] = None
    refers: ClassVar[bool] = False
    reserves: ClassVar[Sequence[str]] = ()
    long: ClassVar[Literal["dropped", "cut"]] = "cut"
    """What becomes of a pair with a side that is longer than the context."""

    def chat_template(self) -> str | None:
        """What the model folder says of how messages are put to it; None: it was taught none."""
        return None

    def columns(self, values: Any) -> Sequence[Column]:
        """What its examples have."""
        raise NotImplementedError

    def encode(self, values: Any, shard: "Shard", tokenizer: "Tokenizer") -> "Iterator[Encoded]":
        """Each example of a shard as tokens. Raises BadInput naming file and line."""
        raise NotImplementedError

    def pairs(self, values: Any, shard: "Shard", tokenizer: "Tokenizer") -> "Iterator[Pair]":
        """Each example of a shard as sources and targets. Raises BadInput naming file and line."""
        raise NotImplementedError

    def claims(self, setup: Setup, folder: Path) -> "Claims":
        """What an example's rows are to be, by its own text: the answers at least."""
        raise NotImplementedError

    def generation(self, setup: Setup) -> Mapping[str, Any]:
        """What the folder's generation_config.json says besides."""
        return {}

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
        from llm.training.finetune import packed, pairs

        values, base = setup.values, setup.base
        tokenizer = Tokenizer.from_file(str(base.tokenizer))
        into, examples, ids = packed.Files.of(files), Shard.open(shard), id_count(tokenizer)
        if base.config.architecture == "encoder_decoder":
            given = self.pairs(values, examples, tokenizer)
            found = pairs.write(into, given, base.context_length, ids, self.long)
        else:
            encoded = self.encode(values, examples, tokenizer)
            found = packed.write(into, encoded, base.context_length, ids)
        if split == "train" and not found.examples:
            raise BadInput(
                f"finetune {values.name}: no example in {shard} has anything to learn within the "
                f"model's context of {base.context_length} tokens"
            )
        if found.too_long:
            report.warning(
                f"{counted(found.too_long, 'example')} for {split} longer than "
                f"{base.context_length:,} tokens: {self._shortened(base)}"
            )
        return dataclasses.asdict(found)

    def _shortened(self, base: Base) -> str:
        if base.config.architecture != "encoder_decoder":
            return "cut at the end"
        if self.long == "dropped":
            return "left out"
        return "the source lost its beginning, or the target its end"

    def rows(self, setup: Setup, files: Path) -> "Packed | PackedPairs":
        """The packed rows."""
        from tokenizers import Tokenizer

        from llm.models.roles import start_of
        from llm.tokens.rows import FILLING
        from llm.tokens.special import PADDING
        from llm.training.finetune import packed, pairs

        base = setup.base
        tokenizer = Tokenizer.from_file(str(base.tokenizer))
        padding = tokenizer.token_to_id(PADDING)
        padding = FILLING if padding is None else padding
        into = packed.Files.of(files)
        if base.config.architecture != "encoder_decoder":
            return packed.Packed(into, base.context_length, padding)
        start = start_of(base.folder, tokenizer, base.config.vocabulary)
        return pairs.PackedPairs(into, base.context_length, padding, start)

    def model(self, setup: Setup, device: str, compute_type: "torch.dtype") -> "Model":
        """The base model as it is."""
        from typing import cast

        from llm.models.folder import load_model

        return cast("Model", load_model(setup.base.folder, device, compute_type))

    def objective(self, setup: Setup) -> "Objective":
        """The next token, wherever it is learned."""
        from llm.training.objectives.next_token import NextToken

        return NextToken()

    def measure(
        self, setup: Setup, model: "Model", rows: "Packed | PackedPairs"
    ) -> Mapping[str, float | None]:
        """loss: mean nats per learned token."""
        from llm.training.finetune.held_out import mean_loss

        return {"loss": mean_loss(model, self.objective(setup), rows, setup.values.validation_rows)}

    def finish(
        self, setup: Setup, model: "Model", held_out: "Packed | PackedPairs"
    ) -> Mapping[str, float]:
        """Nothing is left to do."""
        return {}

    def save(self, setup: Setup, model: "Model", folder: Path) -> None:
        """Write the model with the base's tokenizer, and what it says for serving."""
        from tokenizers import Tokenizer

        from llm.models.folder import save
        from llm.models.roles import START, start_of

        base, said = setup.base, dict(self.generation(setup))
        if base.config.architecture == "encoder_decoder":
            tokenizer = Tokenizer.from_file(str(base.tokenizer))
            said[START] = start_of(base.folder, tokenizer, base.config.vocabulary)
        save(model, folder, base.tokenizer, self.chat_template(), said)

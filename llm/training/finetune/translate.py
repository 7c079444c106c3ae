"""The task translate: texts of one language, or way of writing, and what they are in another."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from llm.examples.settings import PAIRS, Column
from llm.settings import section, setting
from llm.training.finetune.sequences import Sequences
from llm.training.finetune.settings import FinetuneSettings
from llm.training.finetune.task import Setup

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from llm.examples.shards import Example, Shard
    from llm.models.encoder_decoder import EncoderDecoder
    from llm.training.finetune.claims import Claim, Claims
    from llm.training.finetune.packed import Encoded, Packed
    from llm.training.finetune.pairs import PackedPairs, Pair
    from llm.training.finetune.sequences import Model


@section
class TranslateSettings(FinetuneSettings):
    """A base model learns to translate."""

    task: Literal["translate"] = setting(
        description="Kind of task: translate learns to write the target of a source."
    )
    source_language: str = setting(
        default="Source",
        description="What sources are called in a decoder's prompt, such as English.",
        pattern=r"^[^\n{}]+$",
    )
    target_language: str = setting(
        default="Target",
        description="What targets are called in a decoder's prompt, such as German.",
        pattern=r"^[^\n{}]+$",
    )
    both_directions: bool = setting(
        default=False,
        description="Whether sources are learned as translations of targets, too (true, false): the text that "
        "is to be translated then begins with the name of the language that is wanted.",
    )
    beams: int = setting(
        default=4,
        description="Beams of the search, where translations are measured and served (count); 1: greedy.",
        ge=1,
    )
    length_penalty: float = setting(
        default=1.0,
        description="A translation's score is its ln p divided by its tokens to this power (no unit): more of "
        "it, longer translations.",
    )
    validation_sentences: int = setting(
        default=200,
        description="Held-out sources that are translated to measure BLEU and chrF (count).",
        ge=0,
        shapes=False,
    )

    def __post_init__(self) -> None:
        if self.both_directions and self.source_language == self.target_language:
            raise ValueError(
                f"both_directions needs two languages, and both are called {self.source_language!r}: give "
                "source_language and target_language"
            )


class Translate(Sequences):
    """An encoder-decoder reads the source and writes the target; a decoder goes on from a prompt.

    A pair that is longer than the context is left out: a part of it is no translation.
    """

    settings = TranslateSettings
    architectures: ClassVar[Sequence[str]] = ("encoder_decoder", "decoder")
    long = "dropped"

    def columns(self, values: TranslateSettings) -> Sequence[Column]:
        """A source and a target."""
        return PAIRS

    def encode(
        self, values: TranslateSettings, shard: "Shard", tokenizer: "Tokenizer"
    ) -> "Iterator[Encoded]":
        """The prompt with the source, which is not learned, then the target with its end, which is."""
        from llm.models.roles import ids_of
        from llm.training.finetune.packed import Encoded

        begin = ids_of(tokenizer)[0].get("bos_token_id")
        first = [] if begin is None else [begin]
        for asked, said, number in self._ids(values, "decoder", shard, tokenizer):
            read = [*first, *asked]
            yield Encoded([*read, *said], [False] * len(read) + [True] * len(said), number)

    def pairs(
        self, values: TranslateSettings, shard: "Shard", tokenizer: "Tokenizer"
    ) -> "Iterator[Pair]":
        """The source, and the target with its end."""
        from llm.training.finetune.pairs import Pair

        for asked, said, number in self._ids(values, "encoder_decoder", shard, tokenizer):
            yield Pair(asked, said, number)

    def _ids(
        self, values: TranslateSettings, architecture: str, shard: "Shard", tokenizer: "Tokenizer"
    ) -> Iterator[tuple[list[int], list[int], int]]:
        """What is read and what is to be said, of each example in each direction, and its number."""
        from llm.tokens.plain_text import encode_texts
        from llm.training.finetune.translating import directions, end_of

        end = end_of(tokenizer)
        ways, first = directions(values, architecture), 0
        for chunk in shard.chunks(PAIRS):
            texts = [[one.cells[side].strip() for one in chunk] for side in (0, 1)]
            for number, way in enumerate(ways):
                sources, targets = texts[:: 1 - 2 * number]
                read = encode_texts(tokenizer, [way.asked(one) for one in sources])
                said = encode_texts(tokenizer, targets)
                for place, (source, target) in enumerate(zip(read, said, strict=True), first):
                    yield source.ids, [*target.ids, end], place
            first += len(chunk)

    def claims(self, setup: Setup, folder: Path) -> "Claims":
        """The source as the folder says that it is put to the model, and the target, in each direction."""
        from tokenizers import Tokenizer

        from llm.models.roles import ids_of
        from llm.training.finetune.claims import Claim
        from llm.training.finetune.translating import Translation

        in_pairs = setup.base.config.architecture == "encoder_decoder"
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        begin = None if in_pairs else ids_of(tokenizer)[0].get("bos_token_id")
        before = () if begin is None else (begin,)
        ways = Translation.read(folder).directions

        def of(example: "Example") -> "Sequence[Claim]":
            return [
                Claim(
                    text=way.asked(source), begin=before, whole=in_pairs, answers=[target.strip()]
                )
                for way, (source, target) in zip(
                    ways, (example.cells, example.cells[::-1]), strict=False
                )
            ]

        return of

    def measure(
        self, setup: Setup, model: "Model", rows: "Packed | PackedPairs"
    ) -> Mapping[str, float | None]:
        """loss, and of an encoder-decoder BLEU and chrF of some held-out translations."""
        from llm.training.finetune import translating
        from llm.training.finetune.pairs import PackedPairs

        found = dict(super().measure(setup, model, rows))
        if isinstance(rows, PackedPairs) and translating.can_be_measured():
            found |= self._translated(setup, model, rows)  # type: ignore[arg-type]
        return found

    def _translated(
        self, setup: Setup, model: "EncoderDecoder", rows: "PackedPairs"
    ) -> Mapping[str, float]:
        from tokenizers import Tokenizer

        from llm.models.beams import Beams
        from llm.training.finetune.translating import end_of, scores, written

        values: TranslateSettings = setup.values
        tokenizer = Tokenizer.from_file(str(setup.base.tokenizer))
        pairs = [rows.pair(one) for one in range(min(values.validation_sentences, rows.pairs))]
        if not pairs:
            return {}
        sources = [source.tolist() for source, _ in pairs]
        beams = Beams(values.beams, values.length_penalty)
        was_training = model.training
        model.eval()
        found = written(model, sources, rows.start, end_of(tokenizer), beams)
        model.train(was_training)
        said = [tokenizer.decode(ids) for ids in found]
        wanted = [tokenizer.decode(target[:-1].tolist()) for _, target in pairs]
        return scores(said, wanted)

    def generation(self, setup: Setup) -> Mapping[str, Any]:
        """How texts are searched for; without a max_length, transformers ends them after 20 tokens."""
        return {
            "num_beams": setup.values.beams,
            "length_penalty": setup.values.length_penalty,
            "early_stopping": False,
            "max_length": setup.base.context_length,
        }

    def save(self, setup: Setup, model: "Model", folder: Path) -> None:
        """Write the model, and how a text is put to it."""
        from llm.training.finetune.translating import Translation

        super().save(setup, model, folder)
        Translation.of(setup.values, setup.base.config.architecture).write(folder)

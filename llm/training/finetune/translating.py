"""Translations from a model that the task translate made: how texts are put to it, and how good they are.

The model's folder has `translation.json`: the directions it knows, with the text that a source is put
into, and how translations are searched for.
"""

import dataclasses
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm.durable import write_json
from llm.step import BadInput

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from llm.models.beams import Beams
    from llm.models.decoder import Decoder
    from llm.models.encoder_decoder import EncoderDecoder
    from llm.training.finetune.translate import TranslateSettings

LIBRARIES = ("torch", "tokenizers", "sacrebleu")
FILE = "translation.json"
PLACE = "{source}"  # where the source stands in a prompt
ROWS = 32  # texts that are written at once
LONGER = 20  # tokens that a translation may have more than twice its source


@dataclass(frozen=True)
class Direction:
    """From one language to another. prompt: what the model reads, with PLACE for the source."""

    source: str
    target: str
    prompt: str

    def asked(self, source: str) -> str:
        """What the model reads of a source."""
        return self.prompt.replace(PLACE, source.strip())


@dataclass(frozen=True)
class Translation:
    """What a folder says of translating. The first direction is meant where none is asked for."""

    directions: tuple[Direction, ...]
    beams: int
    length_penalty: float

    @classmethod
    def of(cls, values: "TranslateSettings", architecture: str) -> "Translation":
        """What the task's section says."""
        return cls(directions(values, architecture), values.beams, values.length_penalty)

    @classmethod
    def read(cls, folder: Path) -> "Translation":
        """What a folder says. Raises BadInput for one of another task."""
        from llm.models.layouts.fields import read_object

        path = folder / FILE
        if not path.is_file():
            raise BadInput(
                f"{folder} holds no model that translates: it has no {FILE}, which the task translate writes"
            )
        try:
            found = read_object(path)
            ways = tuple(Direction(**one) for one in found["directions"])
            return cls(ways, int(found["beams"]), float(found["length_penalty"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BadInput(
                f"{path} cannot be read ({error!r}): run the finetune stage again"
            ) from error

    def write(self, folder: Path) -> None:
        """Write the folder's file."""
        write_json(folder / FILE, dataclasses.asdict(self))

    def direction(self, target: str | None) -> Direction:
        """The direction to a language; None: the first. Raises BadInput where there is none."""
        if target is None:
            return self.directions[0]
        for one in self.directions:
            if one.target.casefold() == target.casefold():
                return one
        there = ", ".join(one.target for one in self.directions)
        raise BadInput(f"the model does not translate into {target!r}, only into {there}")


def directions(values: "TranslateSettings", architecture: str) -> tuple[Direction, ...]:
    """The directions that a model learns, and what it reads of a source in each."""
    one, other = values.source_language, values.target_language
    ways = [(one, other), (other, one)] if values.both_directions else [(one, other)]

    def prompt(source: str, target: str) -> str:
        if architecture == "decoder":
            return f"{source}:\n{PLACE}\n{target}:\n"
        return f"{target}: {PLACE}" if values.both_directions else PLACE

    return tuple(Direction(*way, prompt(*way)) for way in ways)


def end_of(tokenizer: "Tokenizer") -> int:
    """The id that ends a translation. Raises BadInput where the tokenizer has none."""
    from llm.models.roles import ids_of

    end = ids_of(tokenizer)[0].get("eos_token_id")
    if end is None:
        raise BadInput("the model's tokenizer has no token that ends a text, such as <|endoftext|>")
    return int(end)


def written(
    model: "Decoder | EncoderDecoder",
    sources: Sequence[Sequence[int]],
    start: int | None,
    end: int,
    beams: "Beams",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[list[int]]:
    """The best translation of each source; start: what an encoder-decoder's target starts from."""
    from llm.models.beams import beam_search
    from llm.models.generation import Request

    order = sorted(range(len(sources)), key=lambda one: -len(sources[one]))
    found: list[list[int]] = [[] for _ in sources]
    at_once = 16 * ROWS
    for first in range(0, len(order), at_once):
        chosen = order[first : first + at_once]
        asked = [
            Request(sources[one], 2 * len(sources[one]) + LONGER, stop_ids=(end,), start_id=start)
            for one in chosen
        ]
        texts = beam_search(model, asked, beams, rows=ROWS * beams.count)
        for one, best in zip(chosen, texts, strict=True):
            found[one] = best[0].ids
        progress(first + len(chosen), len(order))
    return found


class Translator:
    """A loaded model that translates. Raises BadInput for a folder of another model."""

    def __init__(
        self,
        folder: Path,
        device: "torch.device | str" = "cpu",
        compute_type: "torch.dtype | None" = None,
    ) -> None:
        import torch

        from llm.models.encoder_decoder import EncoderDecoder
        from llm.models.folder import load_any
        from llm.models.roles import ids_of, start_of

        self.translation = Translation.read(folder)
        model, self.tokenizer = load_any(folder, device, compute_type or torch.float32)
        self.model: Any = model.eval()
        self.start, self.begin = None, None
        if isinstance(model, EncoderDecoder):
            self.start = start_of(folder, self.tokenizer, model.config.vocabulary)
        else:
            self.begin = ids_of(self.tokenizer)[0].get("bos_token_id")
        self.end = end_of(self.tokenizer)

    def encode(self, texts: Sequence[str], into: str | None = None) -> list[list[int]]:
        """What the model reads of texts; of one that is longer than the context, as much as fits."""
        from llm.tokens.plain_text import encode_texts

        way = self.translation.direction(into)
        first = [] if self.begin is None else [self.begin]
        limit = self.model.config.context_length
        found = encode_texts(self.tokenizer, [way.asked(one) for one in texts])
        return [[*first, *one.ids][:limit] for one in found]

    def translate(
        self,
        texts: Sequence[str],
        into: str | None = None,
        beams: int | None = None,
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> list[str]:
        """The translation of each text ("" of an empty one). into: the target language, where there are two.

        beams: instead of what the folder says. Raises BadInput for a language that it does not know.
        """
        from llm.models.beams import Beams

        how = Beams(beams or self.translation.beams, self.translation.length_penalty)
        there = [number for number, one in enumerate(texts) if one.strip()]
        sources = self.encode([texts[number] for number in there], into)
        said = [""] * len(texts)
        for number, ids in zip(
            there, written(self.model, sources, self.start, self.end, how, progress), strict=True
        ):
            said[number] = self.tokenizer.decode(ids)
        return said

    def losses(
        self, sources: Sequence[str], targets: Sequence[str]
    ) -> tuple[list[float], list[float]]:
        """Nats of each target's tokens, the end's included, and how many there are.

        Both 0 of a pair that is longer than the context, or has a side without tokens.
        """
        from llm.tokens.plain_text import encode_texts
        from llm.training.finetune.pair_losses import pair_losses

        encoded = encode_texts(self.tokenizer, [one.strip() for one in targets])
        pairs = [
            (source, [*target.ids, self.end])
            for source, target in zip(self.encode(sources), encoded, strict=True)
        ]
        return pair_losses(self.model, self.start, pairs)


def can_be_measured() -> bool:
    """Whether sacrebleu is installed: a machine that only trains may lack it."""
    return importlib.util.find_spec("sacrebleu") is not None


def scores(said: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
    """BLEU and chrF (0 to 100) of translations, by sacrebleu with its defaults."""
    import sacrebleu

    return {
        "bleu": float(sacrebleu.corpus_bleu(list(said), [list(wanted)]).score),
        "chrf": float(sacrebleu.corpus_chrf(list(said), [list(wanted)]).score),
    }

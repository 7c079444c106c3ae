"""The name of a figure: `suite.model.figure`, and `suite.model.figure.group` for one group of its items.

perplexity.base.bits_per_byte is the base model's over all validation text,
perplexity.base.bits_per_byte.docs over that of the source docs, answers.ask-docs.nats_per_token the
loss of the tuned model ask-docs on held-out answers. A group may have dots; the others have none.
"""

from dataclasses import dataclass

USUAL = {"decoder": "perplexity.base.bits_per_byte"}
FILLS_IN = "infilling.base.bits_per_byte"
"""What models are promoted by that recipes say nothing of: by architecture, and that of all others."""


@dataclass(frozen=True)
class Metric:
    """A figure of a model, or one group of it."""

    suite: str
    model: str
    figure: str
    group: str | None = None

    def __str__(self) -> str:
        parts = (self.suite, self.model, self.figure, self.group)
        return ".".join(part for part in parts if part is not None)


def parse(name: str) -> Metric:
    """The metric of a name. Raises ValueError for what is none."""
    parts = name.split(".", 3)
    if len(parts) < 3 or not all(parts):
        raise ValueError(
            f"{name!r} is not the name of a figure: write suite.model.figure, such as "
            "perplexity.base.bits_per_byte, or suite.model.figure.group"
        )
    return Metric(*parts)


def chosen(metric: str | None, architecture: str) -> Metric:
    """The metric of a recipe whose base model has this architecture."""
    return parse(metric or USUAL.get(architecture, FILLS_IN))

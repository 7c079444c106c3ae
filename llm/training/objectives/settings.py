"""What a recipe says of the objective: what is asked of the model, and which model can answer."""

from typing import Literal

from llm.settings import section, setting

ARCHITECTURES = {
    "next_token": "decoder",
    "masked": "encoder",
    "masked_next_sentence": "encoder",
    "span_corruption": "encoder_decoder",
}


@section
class ObjectiveSettings:
    """What the model learns to predict."""

    type: Literal["next_token", "masked", "masked_next_sentence", "span_corruption"] = setting(
        default="next_token",
        description="next_token (GPT, a decoder), masked (BERT, an encoder), masked_next_sentence (with "
        "BERT's second task) or span_corruption (T5, an encoder-decoder).",
    )
    rate: float = setting(
        default=0.15,
        description="Share of a row's tokens that is hidden (fraction); not for next_token.",
        gt=0,
        lt=1,
    )
    mean_span: float = setting(
        default=3.0,
        description="Mean length of a hidden span (tokens); span_corruption only.",
        ge=1,
    )


def check_pairing(objective: ObjectiveSettings, architecture: str) -> None:
    """Raise ValueError when a model of this architecture cannot be trained so."""
    wanted, given = ARCHITECTURES[objective.type], architecture.replace("-", "_")
    if wanted != given:
        fitting = [name for name, needs in ARCHITECTURES.items() if needs == given]
        raise ValueError(
            f"objective.type {objective.type} trains model.architecture {wanted}, not "
            f"{architecture}: set model.architecture to {wanted}, or objective.type to "
            f"{' or '.join(fitting)}"
        )


def sizes(length: int, rate: float, mean_span: float) -> tuple[int, int]:
    """How many of `length` tokens are hidden, and in how many spans; at least one, never all."""
    hidden = min(max(round(length * rate), 1), length - 1)
    spans = min(max(round(hidden / mean_span), 1), length - hidden)
    return hidden, spans

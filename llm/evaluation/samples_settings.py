"""What the models are asked to write."""

from llm.settings import section, setting


@section
class SampleSettings:
    """What models are asked to write for the report, and how it is drawn."""

    prompts: tuple[str, ...] = setting(
        default=("Return ", "The ", "If "),
        description="Beginnings that the base model goes on with.",
    )
    questions: tuple[str, ...] = setting(
        default=(), description="Questions asked of each fine-tuned model."
    )
    held_out_questions: int = setting(
        default=4,
        description="Held-out questions asked of each fine-tuned model (count): the first ones.",
        ge=0,
    )
    max_new_tokens: int = setting(
        default=80, description="Length of a sample, at most (tokens).", ge=1
    )
    temperature: float = setting(
        default=0.7,
        description="Randomness (no unit): 0 always takes the likeliest token, 1 the model's odds.",
        ge=0,
    )
    top_k: int | None = setting(
        default=50,
        description="How many of the likeliest tokens are drawn from (count); none: all.",
        ge=1,
    )
    seed: int = setting(default=0, description="Seed of the draws.", ge=0)

"""The pretrain section of a recipe: how the base model is trained."""

from llm.models.config import ModelSettings
from llm.settings import section, setting
from llm.tokens.batches_settings import Packing
from llm.training.objectives.settings import ObjectiveSettings, check_pairing
from llm.training.optimisation import Optimisation
from llm.training.pretrain.continual_settings import ContinualSettings
from llm.training.schedule import decay_start

MOST_WEIGHT = 1000
# What decides how a run is kept and watched, not what comes out of it.
HOW = ("checkpoint_every", "keep_last", "keep_every", "validate_every", "validation_tokens")


@section
class PretrainSettings(Optimisation):
    """How the base model is trained."""

    model: ModelSettings = setting(default=ModelSettings, description="The decoder's shape.")
    objective: ObjectiveSettings = setting(
        default=ObjectiveSettings, description="What the model learns to predict."
    )
    tokens: int = setting(
        default=3_000_000,
        description="How much to train on, repeating the corpus as needed (tokens, rounded up to whole steps). "
        "Raise it later: training goes on, it does not start again.",
        gt=0,
    )
    mix: dict[str, float] = setting(
        default=dict,
        description="How often the documents of a source are seen for each time those of a source with weight 1 "
        "are, by the source's name (0 to 1,000; 0 leaves it out; sources not named have weight 1).",
    )
    packing: Packing = setting(
        default="concat",
        description="How documents become rows of context_length: concat, end to end and cut; best_fit, whole "
        "(longer ones in pieces), each apart from the others in its row, with some padding.",
    )
    document_mask: bool = setting(
        default=False,
        description="With packing concat: tokens do not see the document before theirs in a row.",
    )
    batch_tokens: int = setting(
        default=4096,
        description="Tokens of one optimizer step; a multiple of model.context_length.",
        gt=0,
    )
    z_loss: float = setting(
        default=0.0,
        description="Weight of the squared logarithm of the softmax's sum in the loss, which keeps logits small "
        "(no unit, such as 1e-4).",
        ge=0,
    )
    validate_every: int | None = setting(
        default=None,
        description="Steps between measurements of the loss on a slice of the validation split (steps); none: "
        "never. It changes nothing in training.",
        ge=1,
    )
    validation_tokens: int = setting(
        default=65_536, description="Size of that slice (tokens).", ge=1
    )
    continual: ContinualSettings | None = setting(
        default=None,
        description="Each night continues from the trunk of the night before, which has not decayed, with what is new "
        "and replay of older text; its release is a decay from there, and the tokenizer stays. none: every night "
        "trains from scratch. `tokens` is for the first night.",
    )
    init: str | None = setting(
        default=None,
        description="Model folder (as Penstock or transformers writes it) to start from; none: random weights.",
        path="file",
    )

    def __post_init__(self) -> None:
        rows, rest = divmod(self.batch_tokens, self.model.context_length)
        if rest or rows < self.data_parallel:
            raise ValueError(
                f"batch_tokens {self.batch_tokens} must be a multiple of model.context_length "
                f"{self.model.context_length}, and at least data_parallel {self.data_parallel} "
                "times that"
            )
        if self.schedule.warmup_fraction is not None:
            raise ValueError(
                "schedule.warmup_fraction would make the warm-up of a run that is made longer another "
                "one: give schedule.warmup_tokens"
            )
        check_pairing(self.objective, self.model.architecture)
        if self.continual is not None:
            stable = decay_start(self.schedule, self.steps, self.batch_tokens)
            if self.schedule.type != "wsd" or not stable:
                raise ValueError(
                    "continual continues from before the decay: it needs schedule.type wsd (it is "
                    f"{self.schedule.type}) and a decay_fraction that leaves steps before the decay "
                    f"(of {self.steps} it leaves {stable})"
                )
        for name, weight in self.mix.items():
            if not 0 <= weight <= MOST_WEIGHT:
                raise ValueError(f"mix.{name} is {weight}: a weight is from 0 to {MOST_WEIGHT:,}")

    @property
    def rows(self) -> int:
        """Windows of one step."""
        return self.batch_tokens // self.model.context_length

    @property
    def steps(self) -> int:
        """Steps of the whole run; of the first night where nights follow each other."""
        return -(-self.tokens // self.batch_tokens)

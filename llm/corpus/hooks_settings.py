"""What own filters are set to."""

import re
from typing import TYPE_CHECKING

from llm.located import written
from llm.settings import section, setting

if TYPE_CHECKING:
    import numpy as np

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@section
class HookSettings:
    """A filter of the user's own: what it says of a document, and what is kept."""

    function: str = setting(
        description="module:function; it is given lists of texts and addresses and returns a number "
        "(or true and false) for each.",
        path="module",
    )
    min: float | None = setting(
        default=0.5, description="Documents with a lower number are dropped; none: no limit."
    )
    max: float | None = setting(
        default=None, description="Documents with a higher number are dropped; none: no limit."
    )

    def __post_init__(self) -> None:
        check_name(self.function)

    def keeps(self, scores: "np.ndarray") -> "np.ndarray":
        """Which documents stay: scores (N,) → bool (N,). What is not a number (NaN) does not."""
        import numpy as np

        kept = ~np.isnan(scores)
        if self.min is not None:
            kept &= scores >= self.min
        if self.max is not None:
            kept &= scores <= self.max
        return kept


@section
class ApplyHooks:
    """What a shard's hooks are: function by name. Limits are not here: they re-read no text."""

    functions: dict[str, str] = setting(
        description="module:function of each hook, by its name.", path="module"
    )

    def __post_init__(self) -> None:
        for name in self.functions:
            if name == "doc_id" or not re.fullmatch(r"[\w-]+", name):
                raise ValueError(f"the hook's name {name!r} may hold letters, digits, - and _ only")


def check_name(name: str) -> None:
    """Raises ValueError for what is no `module:function`."""
    if not _NAME.fullmatch(written(name)):
        raise ValueError(
            f"{written(name)!r} is not a hook: write module:function, such as my_filters:is_good"
        )

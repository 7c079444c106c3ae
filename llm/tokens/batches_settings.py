"""How documents are laid into rows."""

from typing import Literal

Packing = Literal["concat", "best_fit"]

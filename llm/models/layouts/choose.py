"""Which layout a model is written in.

What is chosen becomes a value of the model's settings (`export`), so that no step reaches this file.
"""

from typing import TYPE_CHECKING

from llm.models.layouts.own import MODEL_TYPE
from llm.parts import load, registry

if TYPE_CHECKING:
    from llm.models.config import ModelConfig


def layouts() -> tuple[str, ...]:
    """The layouts of transformers, in the order of preference."""
    return tuple(name for name in registry("layout") if name != MODEL_TYPE)


def layout_of(config: "ModelConfig") -> str | None:
    """The first layout of transformers that the model fits; None when it fits none."""
    return next((name for name in layouts() if not misfits(config, name)), None)


def misfits(config: "ModelConfig", layout: str) -> list[str]:
    """The fields that keep the model out of a layout."""
    found: list[str] = load("layout", layout).misfits(layout, config)
    return found


def misfit(config: "ModelConfig") -> str | None:
    """The first field that keeps the model out of the layout nearest to it; None when it fits one."""
    found = (misfits(config, name) for name in layouts())
    nearest = min(found, key=lambda fields: ("architecture" in fields, len(fields)))
    return nearest[0] if nearest else None


def chosen(config: "ModelConfig", wanted: str | None) -> str:
    """The layout for what a recipe says: hf, own, a layout's name, or None for hf where one fits.

    Raises ValueError where the model does not fit.
    """
    if wanted in ("own", MODEL_TYPE):
        return MODEL_TYPE
    if wanted in (None, "hf"):
        found = layout_of(config)
        if found is None and wanted == "hf":
            field = str(misfit(config))
            raise ValueError(
                f"model: export hf, but no layout of transformers has {field} "
                f"{getattr(config, field)!r} together with the rest; change it, or leave export out"
            )
        return found or MODEL_TYPE
    if wanted not in layouts():
        raise ValueError(
            f"model: export {wanted!r} is none of hf, own, {', '.join(layouts())}: choose one of them"
        )
    wrong = misfits(config, wanted)
    if wrong:
        raise ValueError(
            f"model: export {wanted}, but that layout has no {wrong[0]} "
            f"{getattr(config, wrong[0])!r}; change it, or leave export out"
        )
    return wanted

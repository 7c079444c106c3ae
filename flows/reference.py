"""docs/recipe.md: every field of a recipe, from the code that reads it."""

from collections.abc import Iterator

from llm.recipe import fields

HEAD = """# The recipe, field by field

Made by `make docs` from the code (`penstock schema --markdown`); a test holds it to that. Override
any of these for one run: `penstock run demo --set pretrain.tokens=6_000_000`.
"""


def recipe_reference() -> str:
    """The page as Markdown."""
    return "\n".join([HEAD, *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    listed = list(fields())
    section = ""
    for field in listed:
        stage = field.path.partition(".")[0]
        if stage != section:
            section = stage
            yield f"{'' if field is listed[0] else chr(10)}## {stage}\n"
        if field.path == stage and any(other.path.startswith(f"{stage}.") for other in listed):
            continue
        default = f", default `{field.default}`" if field.default not in ("", "required") else ""
        required = ", required" if field.default == "required" else ""
        yield f"- `{field.path}` ({field.type}{default}{required}): {field.description}"

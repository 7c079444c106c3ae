"""Reading a config.json of transformers: what must be there, and what must not ask for more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.step import BadInput


def sizes(path: Path, fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Whole numbers by our names: `names` maps a field of config.json to ours. Raises BadInput."""
    missing = [field for field in names if not isinstance(fields.get(field), int)]
    if missing:
        raise BadInput(f"{path}: {', '.join(missing)} must be given as a whole number")
    return {name: fields[field] for field, name in names.items()}


def refuse_others(
    path: Path, found: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]
) -> None:
    """Raise BadInput for a field of `allowed` that has another value there; missing is fine."""
    for field, values in allowed.items():
        value = found.get(field)
        if value is not None and value not in values:
            can = " or ".join(repr(one) for one in values) or "nothing else than the default"
            raise BadInput(f"{path}: {field} {value!r} is not supported, only {can}")


def named(path: Path, field: str, value: Any, known: Mapping[str, str]) -> Any:
    """What we call the value of a field. Raises BadInput for one that is not known."""
    if value not in known:
        raise BadInput(f"{path}: {field} {value!r} is not supported, only {' or '.join(known)}")
    return known[value]

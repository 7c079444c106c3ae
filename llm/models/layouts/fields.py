"""Reading the JSON files of a model folder: what must be there, and what must not ask for more."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm.step import BadInput

# No model is larger in any field (layers above all); with more, memory would end before a message.
MOST = {
    "num_hidden_layers": 10_000,
    "n_layer": 10_000,
    "layers": 10_000,
    # Where there is no window, it may say so with any large number.
    "sliding_window": 1 << 62,
    "window": 1 << 62,
}
MOST_ELSEWHERE = 1 << 24
_SHOWN = 60


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises BadInput for anything else."""
    try:
        found = json.loads(path.read_bytes())
    except RecursionError:
        raise BadInput(f"{path} cannot be read: its values are nested too deeply") from None
    except (OSError, ValueError) as error:  # no JSON, no Unicode, numbers of thousands of digits
        raise BadInput(f"{path} cannot be read: {error}; copy the file again") from error
    if not isinstance(found, dict):
        raise BadInput(f"{path} must hold a JSON object, not {_kind(found)}")
    return found


def whole(
    path: Path, fields: Mapping[str, Any], name: str, least: int = 1, place: str = ""
) -> int | None:
    """A whole number of at least `least`; None where the field is missing or null."""
    value = fields.get(name)
    if value is None:
        return None
    most = MOST.get(name, MOST_ELSEWHERE)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _wrong(path, place + name, f"a whole number from {least} to {most:,}", value)
    return value


def number(
    path: Path,
    fields: Mapping[str, Any],
    name: str,
    otherwise: float,
    *,
    above: float = -math.inf,
    below: float = math.inf,
    least: float = -math.inf,
    place: str = "",
) -> float:
    """A finite number, `otherwise` where the field is missing or null."""
    value = fields.get(name)
    if value is None:
        return otherwise
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Compared as it stands: whole numbers may be larger than any float.
    if not is_number or not (above < value < below and least <= value and abs(value) < 1e300):
        limits = [f"above {above:g}"] if above > -math.inf else []
        limits += [f"at least {least:g}"] if least > -math.inf else []
        limits += [f"below {below:g}"] if below < math.inf else []
        wanted = f"a number {' and '.join(limits)}" if limits else "a finite number"
        raise _wrong(path, place + name, wanted, value)
    return float(value)


def flag(path: Path, fields: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    """true or false, `otherwise` where the field is missing or null."""
    value = fields.get(name)
    if value is None:
        return otherwise
    if not isinstance(value, bool):
        raise _wrong(path, name, "true or false", value)
    return value


def words(path: Path, fields: Mapping[str, Any], name: str) -> list[str]:
    """A list of names, empty where the field is missing or null."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(path, name, "a list of names", value)
    return value


def part(path: Path, fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object, empty where the field is missing or null."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(path, name, "an object", value)
    return value


def sizes(path: Path, fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Whole numbers by our names: `names` maps a field of config.json to ours. Raises BadInput."""
    missing = [field for field in names if fields.get(field) is None]
    if missing:
        raise BadInput(f"{path}: {', '.join(missing)} must be given as a whole number")
    return {name: whole(path, fields, field) for field, name in names.items()}


def refuse_others(
    path: Path, found: Mapping[str, Any], allowed: Mapping[str, tuple[Any, ...]]
) -> None:
    """Raise BadInput for a field of `allowed` that has another value there; missing is fine."""
    for field, values in allowed.items():
        value = found.get(field)
        if value is not None and value not in values:
            can = " or ".join(repr(one) for one in values) or "nothing else than the default"
            raise BadInput(f"{path}: {field} {shown(value)} is not supported, only {can}")


def named(path: Path, field: str, value: Any, known: Mapping[str, Any]) -> Any:
    """What we call the value of a field. Raises BadInput for one that is not known."""
    if not isinstance(value, str) or value not in known:
        can = " or ".join(known)
        raise BadInput(f"{path}: {field} {shown(value)} is not supported, only {can}")
    return known[value]


def head_width(path: Path, width: int, heads: int, fields: str) -> int:
    """The width of a head that heads share out evenly. fields: the two, for the message."""
    if width % heads:
        raise BadInput(f"{path}: {fields}: {width} is not a multiple of {heads}")
    return width // heads


def _wrong(path: Path, name: str, wanted: str, value: Any) -> BadInput:
    return BadInput(f"{path}: {name} must be {wanted}, not {shown(value)}")


def shown(value: Any) -> str:
    """A value for a message: the start of a long one."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # whole numbers of thousands of digits, deep nesting
        return _kind(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({_kind(value)})"


def _kind(value: Any) -> str:
    kinds = {list: "a list", dict: "an object", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")

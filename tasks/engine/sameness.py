"""Whether an artifact is what a call would make, if the code that made it means what today's means.

Compared are values and inputs, not code: that the code was only put in order is what the owner says
who accepts the artifact (`penstock accept`). The form of values may have changed: a field that is
new has its default, one that is gone or moved is told.
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic

from llm.fingerprint import plain
from tasks.engine.step import Call
from tasks.engine.verdict import differences

Path = tuple[Any, ...]
"""Where one of several values stands: ("model", "layers")."""

TRIES = 20


@dataclasses.dataclass(frozen=True)
class Compared:
    """differs: why the artifact is not what the call would make; empty: it is. told: what of the
    values' form changed, for whoever accepts it.
    """

    differs: tuple[str, ...] = ()
    told: tuple[str, ...] = ()

    @property
    def is_same(self) -> bool:
        """Whether nothing but code differs."""
        return not self.differs


def compare(call: Call, manifest: Mapping[str, Any]) -> Compared:
    """Compare what an artifact was made from with what a call would be given."""
    form = manifest.get("form", 1)
    if form != call.step.form:
        said = f"its files have form {form}, and what reads them now expects form {call.step.form}"
        return Compared((said,))
    differs = [
        f"{name}: {before!r} → {now!r}"
        for name, before, now in differences(manifest["identity"], plain(call.identity))
    ]
    told: list[str] = []
    if manifest.get("base") != call.base:
        differs += _inputs(manifest["contents"], call.contents)
        of_values, told = _values(call.values, manifest["values"])
        differs += of_values
    return Compared(tuple(differs), tuple(told))


def signature(contents: Mapping[str, Sequence[str]]) -> frozenset[tuple[str, ...]]:
    """What two calls with the same inputs share, whatever the inputs are called."""
    return frozenset(tuple(items) for items in contents.values() if items)


def _inputs(before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> list[str]:
    """The inputs that differ. One may be called otherwise now; an empty one is as good as none."""
    then = {name: list(items) for name, items in before.items() if items}
    given = {name: list(items) for name, items in now.items() if items}
    said = [
        f"input {name} changed ({_number(then[name], given[name])})"
        for name in sorted(then.keys() & given.keys())
        if then[name] != given[name]
    ]
    new = {name: items for name, items in given.items() if name not in then}
    for name in sorted(then.keys() - given.keys()):
        renamed = next((one for one, items in new.items() if items == then[name]), None)
        if renamed is None:
            said.append(f"input {name} is not read any more")
        else:
            del new[renamed]
    return [*said, *(f"input {name} is new" for name in sorted(new))]


def _number(before: Sequence[str], now: Sequence[str]) -> str:
    if len(before) != len(now):
        return f"{len(before):,} → {len(now):,}"
    return f"{sum(a != b for a, b in zip(before, now, strict=True)):,} of {len(now):,}"


def _values(values: Any, recorded: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """How today's values differ from recorded ones; and what only their form tells."""
    now = plain(values, deciding=True)
    read, left_out, filled = _as_far_as_known(values, recorded)
    then = plain(read, deciding=True) if read is not None else recorded
    differ = {tuple(path.split(".")): (a, b) for path, a, b in differences(then, now)}
    if read is None:
        return [_changed(path, *pair) for path, pair in differ.items()] or ["its values"], []
    known = {path for path, _ in _leaves(recorded)}
    new = {path: value for path, value in _leaves(now) if path not in known}
    differ |= {path: (None, new[path]) for path in new if any(path[: len(a)] == a for a in filled)}
    said, told = [], []
    for path, before in left_out:
        places = [place for place in new if place[-1] == path[-1]]
        same = [place for place in places if new[place] == before]
        if same:
            told.append(f"{'.'.join(path)} is {'.'.join(same[0])} now")
            differ.pop(same[0], None)
        elif places:
            said.append(_changed(places[0], before, new[places[0]]))
            differ.pop(places[0], None)
        else:
            told.append(f"there is no {'.'.join(path)} any more (it was {before!r})")
    return [*said, *(_changed(path, *pair) for path, pair in differ.items())], told


def _changed(path: Path, before: Any, now: Any) -> str:
    return f"{'.'.join(map(str, path))}: {before!r} → {now!r}"


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and (value or path):
        for name, item in value.items():
            yield from _leaves(item, (*path, name))
    else:
        yield path, value


def _as_far_as_known(
    values: Any, recorded: Mapping[str, Any]
) -> tuple[Any | None, list[tuple[Path, Any]], list[Path]]:
    """Recorded values as today's code reads them; those that it has no place for, with their paths;
    and where it must have one that is not recorded: there it has today's.

    None where they cannot be read for another reason.
    """
    rest, today = _copy(recorded), plain(values)
    left_out: list[tuple[Path, Any]] = []
    filled: list[Path] = []
    kind = pydantic.TypeAdapter(type(values))
    for _ in range(TRIES):
        try:
            return kind.validate_python(rest), left_out, filled
        except pydantic.ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
        places = [(one["type"], _path_to(rest, one["loc"])) for one in found]
        unknown = {path for kind_of, path in places if kind_of in UNKNOWN and _has(rest, path)}
        missing = {path for kind_of, path in places if kind_of == MISSING and _has(today, path)}
        for path in unknown:
            inner, last = _at(rest, path[:-1]), path[-1]
            left_out += _leaves(inner.pop(last), path)
        for path in missing:
            given = _at(today, path)
            # Of a section that is new, what has a default counts with its default.
            _at(rest, path[:-1])[path[-1]] = {} if isinstance(given, Mapping) else _copy(given)
            filled += [] if isinstance(given, Mapping) else [path]
        if not (unknown or missing):
            break
    return None, left_out, filled


UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
MISSING = "missing"


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list | tuple) else value


def _path_to(value: Any, location: Sequence[int | str]) -> Path:
    """Where an error stands; its location also names the members of unions, which values do not."""
    path: list[Any] = []
    for part in location[:-1]:
        if _has(value, (part,)):
            value = value[part]
            path.append(part)
    return (*path, location[-1])


def _has(value: Any, path: Path) -> bool:
    try:
        _at(value, path)
    except (KeyError, IndexError, TypeError):
        return False
    return True


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value

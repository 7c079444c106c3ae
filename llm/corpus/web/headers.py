"""Header lines of answers: kept apart, and read as user agents read doubled and sloppy ones."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

_APART = "\n"
_SENDABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TYPE = re.compile(rf"({_TOKEN}/{_TOKEN})(?:[; \t]|$)")
_PARAMETER = re.compile(r';[ \t]*([^;="]*)(?:=(?:"((?:[^"\\]|\\.)*)"?[^;]*|([^;]*)))?')
# What a comma parts: everything but what stands in quotes.
_MEMBER = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')


class MediaType(NamedTuple):
    """A media type in lower case, and its charset as it was declared, None where it was not."""

    name: str = ""
    charset: str | None = None


def together(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Header lines by name (in lower case). A line end, which no value has, parts those of one name."""
    found: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        found[name] = f"{found[name]}{_APART}{value}" if name in found else value
    return found


def lines(headers: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The lines of one header, in order."""
    return tuple(headers[name].split(_APART)) if name in headers else ()


def apart(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """All header lines, as (name, value)."""
    for name, value in headers.items():
        for line in value.split(_APART):
            yield name, line


def only(headers: Mapping[str, str], name: str) -> str:
    """The value of a header that names one thing; "" where there is none, or lines disagree."""
    found = set(map(str.strip, lines(headers, name)))
    return found.pop() if len(found) == 1 else ""


def can_be_sent(value: str) -> bool:
    """Whether a header of a request may have this value, as it is: not what an answer had beyond ASCII."""
    return _SENDABLE.fullmatch(value) is not None


def listed(headers: Mapping[str, str], name: str) -> str:
    """The value of a header that is a list, all lines together (RFC 9110, 5.2)."""
    return ", ".join(lines(headers, name))


def media_type(said: str) -> MediaType:
    """The last valid type of a Content-Type, whose lines are joined by commas.

    Fetch standard, "extract a MIME type": a type that says no charset has that of the one before, if
    it is the same. Where none is valid, what stands there, as no type that anybody knows.
    """
    name, charset = "", None
    for member in _MEMBER.findall(said):
        found = _TYPE.match(member.strip())
        if found is None or found[1] == "*/*":
            continue
        declared = _charset(member)
        if found[1].lower() != name or declared is not None:
            name, charset = found[1].lower(), declared
    return MediaType(name or said.partition(";")[0].strip().lower(), charset)


def content_type(headers: Mapping[str, str]) -> str:
    """The declared type of an answer as it was written; where several were, the one that counts."""
    said = listed(headers, "content-type")
    if "," not in said:
        return said
    name, charset = media_type(said)
    return name if charset is None else f"{name}; charset={charset}"


def _charset(member: str) -> str | None:
    for name, quoted, bare in _PARAMETER.findall(member):
        value = re.sub(r"\\(.)", r"\1", quoted) if quoted else bare.strip()
        if name.strip().lower() == "charset" and value:
            return str(value).strip("'\" ")
    return None

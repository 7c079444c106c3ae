"""One address, one spelling: URLs normalised so that a page is fetched once (RFC 3986, section 6)."""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote, unquote_to_bytes, urljoin, urlsplit, urlunsplit

import idna

# Parameters that say where a visitor came from or who he is, never which page it is.
_TRACKING = re.compile(
    r"(utm_.*|ga_.*|mc_[ce]id|mkt_tok|oly_(anon|enc)_id|hsa_.*|_hs(enc|mi)|pk_.*|piwik_.*|mtm_.*"
    r"|gclid|gclsrc|dclid|fbclid|msclkid|yclid|ttclid|twclid|igshid|gbraid|wbraid|srsltid|wickedid"
    r"|_ga|_gl|ref_src|ref_url|vero_(id|conv)|phpsessid|jsessionid|aspsessionid.*|cfid|cftoken)",
    re.IGNORECASE,
)
# Parameters that name a session where their value looks like one; else they may name a page.
_SESSION = re.compile(r"(s|sid|sess|session|session_?id|sessid|oscsid|zenid|cfsid)", re.IGNORECASE)
_TOKEN = re.compile(r"(?=.*\d)[A-Za-z0-9_.~-]{16,}|[A-Za-z0-9_-]{20,}")
_SESSION_IN_PATH = re.compile(
    r";(jsessionid|phpsessid|sid)=[^/?#]*|/\([SAF]\([A-Za-z0-9_-]{10,}\)\)(?=/|$)", re.IGNORECASE
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
_MAX_CHARACTERS = 2000
# Characters that stay as they are in a path or query; % because escapes are already there.
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")


class Address(NamedTuple):
    """An address in its one spelling, and as it was written: "" where that is the same."""

    url: str
    written: str = ""


def normalise(url: str, base: str | None = None) -> str | None:
    """The one spelling of a web address, or None for what is not a page (mailto:, javascript:, ...).

    Resolves against `base`; lowercases scheme and host (IDNA), drops user names, default ports,
    fragments and tracking parameters, sorts the query, resolves dots and unifies escapes.
    """
    found = resolve(url, base)
    return None if found is None else found.url


def resolve(url: str, base: str | None = None) -> Address | None:
    """As `normalise`, with the path and query as they were written, for what robots.txt says of them."""
    try:
        whole = urljoin(base, url.strip()) if base else url.strip()
        parts = urlsplit(whole)
        scheme, port = parts.scheme.lower(), parts.port
        if scheme not in _DEFAULT_PORTS or len(whole) > _MAX_CHARACTERS:
            return None
        name = _host_name(parts.hostname or "")
        path = _without_dots(_unify(_SESSION_IN_PATH.sub("", parts.path))) or "/"
        query = _query(parts.query)
    except ValueError:  # also what idna and lone surrogates raise
        return None
    netloc = name if port in (None, _DEFAULT_PORTS[scheme]) else f"{name}:{port}"
    one = urlunsplit((scheme, netloc, path, query, ""))
    written = urlunsplit((scheme, netloc, parts.path or "/", parts.query, ""))
    return Address(one, "" if written == one else written)


def host_name(text: str) -> str:
    """A host as recipes name it, with its port unless that is the default, in its one spelling.

    Raises ValueError for what is not a host, such as a whole address.
    """
    found = None if set(text) & set("/?#@ ") else normalise(f"http://{text}/")
    if found is None:
        raise ValueError(
            f"{text!r} is not a host name: write it without scheme and path, like docs.example.org or "
            "localhost:8000"
        )
    return host(found).removesuffix(":443")


def origin(url: str) -> str:
    """Scheme, host and port: what one robots.txt speaks for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def host(url: str) -> str:
    """The host name, with its port unless that is the default."""
    return urlsplit(url).netloc


def bare(name: str) -> str:
    """A host name without www., which names the same site nearly everywhere."""
    return name.lower().removeprefix("www.")


def matches(url: str, patterns: tuple[str, ...]) -> bool:
    """Whether any of the patterns (`*` stands for anything) is the whole address."""
    return any(_pattern(pattern).fullmatch(url) for pattern in patterns)


@lru_cache(maxsize=4096)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, re.split(r"\*+", text))), re.DOTALL)


@lru_cache(maxsize=1 << 14)
def _host_name(name: str) -> str:
    """A host name in ASCII. Raises ValueError for what no name server knows (RFC 1035, 5890)."""
    name = name.removesuffix(".").lower()
    if ":" in name:  # an IPv6 address
        return f"[{ipaddress.IPv6Address(name)}]"
    if not name.isascii():
        name = name.encode("idna").decode()
    labels = name.split(".")
    if len(name) > 253 or not all(re.fullmatch(r"[a-z0-9_-]{1,63}", label) for label in labels):
        raise ValueError(f"no host name: {name!r}")
    for coded in (*labels, name):
        if coded.startswith("xn--"):
            idna.decode(coded)
    return name


def _unify(text: str) -> str:
    """Escapes in one spelling: needless ones undone, missing ones added, hex digits in capitals."""

    def escape(match: re.Match[str]) -> str:
        character = chr(int(match[1], 16))
        return character if _UNRESERVED.fullmatch(character) else f"%{match[1].upper()}"

    text = re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", text)
    return quote(_ESCAPE.sub(escape, text), safe=_PATH_SAFE)


def _without_dots(path: str) -> str:
    """Remove `.` and `..` segments (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")
    for index, segment in enumerate(segments):
        if segment == "..":
            if len(kept) > 1:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
            continue
        if index == len(segments) - 1:
            kept.append("")
    return "/".join(kept)


def _query(query: str) -> str:
    """The parameters in order, without those that tell of the visitor only.

    `?print` and `?print=`, `+` and `%20` may differ for a server or its robots.txt, and stay.
    """
    kept = []
    for pair in filter(None, query.split("&")):
        name, equals, value = pair.partition("=")
        meant = (_meant(name), _meant(value))
        if not _says_nothing(*meant):
            kept.append((meant, f"{_escaped(name)}{equals}{_escaped(value)}"))
    return "&".join(spelled for _, spelled in sorted(kept))


def _meant(text: str) -> str:
    return unquote(text.replace("+", " "), errors="surrogateescape")


def _escaped(text: str) -> str:
    return "+".join(quote(unquote_to_bytes(piece), safe="") for piece in text.split("+"))


def _says_nothing(name: str, value: str) -> bool:
    """Whether a parameter tells of the visitor only."""
    if _TRACKING.fullmatch(name):
        return True
    return bool(_SESSION.fullmatch(name) and _TOKEN.fullmatch(value))

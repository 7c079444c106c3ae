"""Crawling behind a login: headers whose values come from the environment and stay secret.

A recipe names the environment variable (`Authorization: "env:SITE_TOKEN"`), never the value. The
value is read when the crawl starts, is sent to the source's own hosts only, and is written nowhere.
"""

import base64
import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from llm.corpus.web.urls import host
from llm.step import BadInput

# "Bearer env:SITE_TOKEN": the word before the value may stand in the recipe.
_FROM_ENVIRONMENT = re.compile(r"(?P<before>(?:[A-Za-z][\w=-]* ?)?)env:(?P<name>[A-Za-z_]\w*)")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]+")
# What the crawler itself says in a request.
_OURS = {"host", "user-agent", "accept", "accept-encoding", "connection", "content-length"}
_SCHEMES = {"", "bearer", "basic", "digest", "token", "apikey", "negotiate"}
_SHORTEST = 6
_COOKIES = {"set-cookie", "set-cookie2"}
_CONDITIONS = {"if-none-match", "if-modified-since"}


@dataclass(frozen=True)
class Login:
    """The headers and the hosts that they are for, each with the schemes that may carry them."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    origins: frozenset[tuple[str, str]] = frozenset()

    def headers(self, url: str) -> Mapping[str, str]:
        """What to send with a request for `url`: nothing, unless its host is one of them."""
        if not self.secrets or (url.partition(":")[0], host(url)) not in self.origins:
            return {}
        return self.secrets

    def without_secrets(self, headers: Mapping[str, str]) -> dict[str, str]:
        """A request's headers as they may be written down."""
        secret = {name.lower() for name in self.secrets}
        return {name: value for name, value in headers.items() if name.lower() not in secret}

    def clean_answer(self, headers: Mapping[str, str]) -> dict[str, str]:
        """An answer's headers (names in lower case) without cookies and without what tells a secret."""
        if not self.secrets:
            return dict(headers)
        return {
            name: value
            for name, value in headers.items()
            if name not in _COOKIES and not self.is_told_by(value.encode("utf-8", "replace"))
        }

    def is_told_by(self, data: bytes | bytearray) -> bool:
        """Whether one of the secrets can be read in `data`."""
        return any(word in data for word in self._words)

    @functools.cached_property
    def _words(self) -> frozenset[bytes]:
        """What tells a secret: each of its words, as it is sent, decoded and percent-encoded."""
        found = {word for secret in self.secrets.values() for word in _words_of(secret)}
        return frozenset(
            form.encode() for word in found for form in (word, quote(word, safe="")) if form
        )


NO_LOGIN = Login()


def _words_of(secret: str) -> Iterator[str]:
    """The words of a header that are secret: `b` and `d` of `a=b; c=d`, the password of Basic.

    Shorter ones than _SHORTEST and names of schemes stand in many a page; the longest counts always.
    """
    words: set[str] = set()
    for piece in re.split(r"[\s;,]+", secret):
        name, equals, value = piece.partition("=")
        # A token ends in `=` where it is base64.
        words.add(value.strip('"') if equals and value.strip("=") else piece.strip('"'))
        if len(name) >= _SHORTEST and equals and not value.strip("="):
            words.add(name)
    for word in list(words):
        try:
            decoded = base64.b64decode(word, validate=True).decode("ascii")
        except ValueError:
            continue
        _, colon, password = decoded.partition(":")
        if secret.lower().startswith("basic ") and colon:
            words |= {decoded, password}
    words = {word for word in words if word.lower() not in _SCHEMES}
    longest = max(words, key=len, default="")
    yield from (word for word in words if word and (len(word) >= _SHORTEST or word == longest))


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError, without telling the value, for a header that a recipe may not have."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _OURS | _CONDITIONS:
            raise ValueError(
                f"the crawler sets the header {name} itself: leave it out of `headers`"
            )
        if not _FROM_ENVIRONMENT.fullmatch(value):
            raise ValueError(
                f"the header {name} must name an environment variable, such as env:SITE_TOKEN or "
                "'Bearer env:SITE_TOKEN', so that no secret stands in a recipe"
            )


def login(headers: Mapping[str, str], hosts: set[str], plain_hosts: set[str]) -> Login:
    """Read the secrets of `headers` from the environment, for these hosts.

    Over plain http they go to `plain_hosts` only: to none whose seeds are all https. Raises BadInput,
    naming the variable, when it is not set or cannot be sent.
    """
    secrets = {}
    for name, value in headers.items():
        match = _FROM_ENVIRONMENT.fullmatch(value)
        variable = match["name"] if match else ""
        secret = os.environ.get(variable, "").strip()
        if not match or not secret:
            raise BadInput(
                f"the environment variable {variable} is not set: it holds the header {name} that "
                "the recipe asks for"
            )
        if not _HEADER_VALUE.fullmatch(secret):
            raise BadInput(
                f"the environment variable {variable} holds characters that no header may have"
            )
        secrets[name] = match["before"] + secret
    if not secrets:
        return NO_LOGIN
    origins = {("https", name) for name in hosts} | {("http", name) for name in plain_hosts}
    return Login(secrets, frozenset(origins))

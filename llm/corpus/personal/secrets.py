"""Keys and tokens in text: what lets whoever reads it in."""

import math
import re
from collections import Counter
from collections.abc import Iterator

# Forms that their makers publish, each behind a string that any text with one must hold.
_FORMS = tuple(
    (sign, re.compile(pattern, re.DOTALL))
    for sign, pattern in (
        # Amazon, GitHub, GitLab, Slack, Google, Stripe
        ("AKIA", r"AKIA(?<![A-Za-z0-9]AKIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("ASIA", r"ASIA(?<![A-Za-z0-9]ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"),
        ("gh", r"gh[pousr]_(?<![A-Za-z0-9_]....)[A-Za-z0-9]{36,255}"),
        ("github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
        ("glpat-", r"glpat-[A-Za-z0-9_-]{20,255}"),
        ("xox", r"xox[abeoprs]-(?<![A-Za-z0-9].....)[A-Za-z0-9-]{10,255}"),
        ("hooks.slack.com", r"hooks\.slack\.com/services/T[A-Z0-9]+/B[A-Z0-9]+/[A-Za-z0-9]{16,}"),
        ("AIza", r"AIza(?<![A-Za-z0-9_-]....)[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
        ("ya29.", r"ya29\.(?<![A-Za-z0-9].....)[A-Za-z0-9_-]{20,1024}"),
        ("_live_", r"[rsp]k_live_[A-Za-z0-9]{16,255}"),
        # Hosts of models and packages
        ("sk-", r"sk-(?<![A-Za-z0-9-]...)(?:[a-z]+[0-9]*-){0,2}[A-Za-z0-9_-]{32,255}"),
        ("hf_", r"hf_(?<![A-Za-z0-9_]...)[A-Za-z0-9]{34}(?![A-Za-z0-9])"),
        ("npm_", r"npm_(?<![A-Za-z0-9_]....)[A-Za-z0-9]{36}(?![A-Za-z0-9])"),
        ("pypi-", r"pypi-AgEIcHlwaS[A-Za-z0-9_-]{40,512}"),
        # JSON web tokens (RFC 7519): two JSON objects in base64, each starting with {"
        ("eyJ", r"eyJ(?<![A-Za-z0-9_-]...)[A-Za-z0-9_-]{8,2048}\.eyJ[A-Za-z0-9_-]{8,8192}\.[A-Za-z0-9_-]{16,2048}"),
        # Mail and chat
        ("SG.", r"SG\.(?<![A-Za-z0-9_-]...)[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}(?![A-Za-z0-9_-])"),
        (":A", r"(?<![A-Za-z0-9_-])[0-9]{6,12}:A[A-Za-z0-9_-]{34}(?![A-Za-z0-9_-])"),
        # The password in an address (RFC 3986, 3.2.1), but not what stands in for one
        ("://", r"://[^/\s:]{0,100}:(?![<{*]|\$[{(]|%[s(])([^/\s@<>]{1,256})@"),
        # Private keys (RFC 7468, RFC 4880), also those that are cut off: then as far as base64 goes
        ("PRIVATE KEY", r"-----BEGIN [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----(?:(?:(?!-----).){32,20000}-----END [A-Z0-9 ]{0,20}PRIVATE KEY(?: BLOCK)?-----|(?:(?:\s|\\[nr]){1,4}[A-Z][A-Za-z-]{3,20}: [^\r\n\\]{1,80}){0,4}(?:(?:\s|\\[nr]){1,4}[A-Za-z0-9+/]{32,8000}={0,2}){1,300}(?:(?:\s|\\[nr]){1,4}[A-Za-z0-9+/]{1,31}={1,2})?)"),
    )
)  # fmt: skip

_NAMES = ("key", "token", "secret", "passw", "credential")
# The value of what is called a key, a token or a password, from the = or : outwards.
_VALUE = re.compile(r"[=:][=>]?\s{0,3}[\"'`]?([A-Za-z0-9+/_=.~-]{16,256})(?![A-Za-z0-9(\[])")
_NAME_BEFORE = re.compile(
    r"(?:(?:api|access|auth|account|secret|private|client|encryption|signing|master|shared|bearer)"
    r"[ _.-]?(?:key|token|secret)|token|secret|passw(?:or)?d|credentials?)s?[\"'`\])]{0,2}\s{0,3}$",
    re.IGNORECASE,
)
# A request's credentials (RFC 6750, RFC 7617).
_AUTHORIZATION = re.compile(
    r"(?:bearer|authorization[\"']?\s{0,3}[:=]\s{0,3}[\"'`]?(?:basic|token))\s{1,3}"
    r"([A-Za-z0-9+/_.~-]{16,1024}={0,2})",
    re.IGNORECASE,
)
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]+")
_WORD = re.compile(r"[a-z]{8}|[A-Z]{8}|[A-Z]?[a-z]{3,}[_.-][A-Z]?[a-z]{3,}")


def secrets(text: str) -> Iterator[tuple[int, int]]:
    """Spans of keys and tokens: published forms, and random values of what is called a secret."""
    for sign, pattern in _FORMS:
        if sign in text:
            for match in pattern.finditer(text):
                yield match.span(pattern.groups)
    lowered = text.lower()
    if any(name in lowered for name in _NAMES):
        for match in _VALUE.finditer(text):
            if _NAME_BEFORE.search(text[max(0, match.start() - 40) : match.start()]) and _random(
                match[1].rstrip(".=")
            ):
                yield match.span(1)
    if "bearer" in lowered or "authorization" in lowered:
        for match in _AUTHORIZATION.finditer(text):
            if _random(match[1].rstrip(".=")):
                yield match.span(1)


def _random(value: str) -> bool:
    """Whether a value looks drawn at random: letters and digits mixed, many of them, no words."""
    digits = sum(letter.isdigit() for letter in value)
    if digits < 2 or digits == len(value) or _WORD.search(value):
        return False
    least = 3.0 if _HEXADECIMAL.fullmatch(value) else 3.5
    return len(value) >= 16 and entropy(value) >= least


def entropy(value: str) -> float:
    """Shannon entropy of the characters of a text (bits a character)."""
    total = len(value)
    return -sum(count / total * math.log2(count / total) for count in Counter(value).values())

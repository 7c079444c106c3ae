"""Where an archive lies: on a web server or on a disk; and logins, which no address may hold."""

import re
from urllib.parse import parse_qsl, urlsplit

# Parameters that sign an address or let somebody in.
_SIGNED = re.compile(
    r"x-(amz|goog|oss|cos|obs)-(signature|credential|security-token)|signature|sig|awsaccesskeyid"
    r"|googleaccessid|(access|auth|api|refresh|id|private|session|subscription)[-_]?(token|key)|token"
    r"|auth|secret|client_secret|password|passwd|pwd|jwt",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_address(place: str) -> bool:
    """Whether a file lies on a web server."""
    return urlsplit(place).scheme.lower() in ("http", "https")


def secret_in(address: str) -> str:
    """What of a login an address holds, in words and without telling it; "" where there is none."""
    if not _ADDRESS.match(address.strip()):
        return ""
    try:
        parts = urlsplit(address.strip())
        query = parse_qsl(parts.query) + parse_qsl(parts.fragment)
    except ValueError:
        netloc = re.split(r"[/?#]", address.partition("://")[2], maxsplit=1)[0]
        return "a user name or password" if "@" in netloc else ""
    if "@" in parts.netloc:
        return "a user name or password"
    name = next((name for name, _ in query if _SIGNED.fullmatch(name)), "")
    return f"a login or signature (the parameter {name})" if name else ""

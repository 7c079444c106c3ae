"""Where an archive lies: on a web server or on a disk."""

from urllib.parse import urlsplit


def is_address(place: str) -> bool:
    """Whether a file lies on a web server."""
    return urlsplit(place).scheme.lower() in ("http", "https")

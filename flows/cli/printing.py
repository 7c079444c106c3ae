"""Text that others wrote, as a terminal may be given it: control characters are shown, not sent."""

from typing import Any

# Line ends and tabs are text; the rest steers terminals (ECMA-48), as do the marks that turn the
# direction of text (Unicode, 9: bidirectional controls). Shown as Unicode's pictures of them, or "\ufffd".
_KEPT = "\n\t"
_PICTURES: dict[int, int | str] = {
    code: 0x2400 + code for code in range(32) if chr(code) not in _KEPT
}
_PICTURES |= {0x7F: 0x2421, **dict.fromkeys(range(0x80, 0xA0), 0xFFFD)}
_PICTURES |= dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), 0xFFFD)


def harmless(text: str) -> str:
    """The text with every control character but line ends and tabs made visible.

    Windows' line ends become plain ones; lone surrogates, which have no UTF-8, U+FFFD.
    """
    shown = text.replace("\r\n", "\n").translate(_PICTURES)
    return shown.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def harmless_value(value: Any) -> Any:
    """A value of JSON's kinds with every text in it made harmless."""
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, dict):
        return {harmless_value(key): harmless_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [harmless_value(one) for one in value]
    return value

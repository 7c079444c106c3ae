"""How counts, durations and sizes are written for people."""

UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: "1 page", "2,000 pages"."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 41 s, 6 min 30 s, 8 h 46 min, 3 d 4 h."""
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    at = next((at for at, (_, span) in enumerate(units) if whole >= span), len(units) - 1)
    parts: list[str] = []
    for name, span in units[at : at + 2]:
        count, whole = divmod(whole, span)
        parts.append(f"{count} {name}" if count or not parts else "")
    return " ".join(filter(None, parts))


def size(count: int) -> str:
    """Bytes in the decimal unit that fits: "999 bytes", "1.5 MB"."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return "1 byte" if count == 1 else f"{value:,.3g} {UNITS[unit]}"


def millions(count: float) -> str:
    """A large count, rounded: "2.99 M"; one below 100,000 in full."""
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count:,.0f}"

"""How archives on the web are fetched."""

from llm.settings import section, setting


@section
class RemoteSettings:
    """How files on web servers are read."""

    max_bytes: int = setting(
        default=20_000_000_000, description="A file is read up to here (bytes).", gt=0
    )
    delay_seconds: float = setting(
        default=0.5, description="Pause between two requests (seconds).", ge=0
    )
    timeout_seconds: float = setting(
        default=60.0, description="Longest silence of a server (seconds).", gt=0
    )
    retries: int = setting(
        default=5,
        description="Tries after a broken connection, 429 or 5xx, without progress (count).",
        ge=0,
    )
    backoff_seconds: float = setting(
        default=2.0,
        description="Pause before the first new try, doubled for each one after (seconds).",
        ge=0,
    )
    max_wait_seconds: float = setting(
        default=300.0, description="Longest pause that a server may ask for (seconds).", ge=0
    )
    max_hours: float | None = setting(
        default=24.0,
        description="Time for one file, over all its connections (hours); the next try continues from "
        "there. none: no limit.",
        gt=0,
    )
    private_hosts: tuple[str, ...] = setting(
        default=(),
        description="Host names that may be on a private network; without them, only public addresses "
        "are connected to, and addresses and localhost that the recipe names.",
    )
    user_agent: str = setting(
        default="Penstock/0.1", description="How the reader names itself.", min_length=1
    )

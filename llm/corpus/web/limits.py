"""How much a fetch may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How patient and how greedy a fetcher is."""

    timeout_seconds: float
    max_bytes: int
    retries: int
    backoff_seconds: float
    max_wait_seconds: float
    connections: int

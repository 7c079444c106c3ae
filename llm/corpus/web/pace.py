"""How fast a host is asked: never faster than told, slower when it struggles, hastier never on errors."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# A host in trouble is asked half as often each time; each good answer takes back a fifth of that.
_SLOWER = 2.0
_RECOVERY = 0.8
# Weight of the newest answer in the mean time that a host takes.
_NEWEST = 0.3
# Where no pause was asked for and the host struggles, what is doubled (seconds).
_FIRST_PAUSE = 0.1


@dataclass
class Pace:
    """When a host may be asked next (seconds, of the event loop's clock).

    The pause lies between the end of an answer and the next request, so that no jitter of the network
    can bring two requests nearer to each other than `delay_seconds` in the eyes of the host.

    delay_seconds: the pause that was asked for. latency_factor: the pause is at least this many times
    as long as the host takes to answer. longest_seconds: no trouble makes it longer.
    """

    delay_seconds: float
    latency_factor: float = 0.0
    longest_seconds: float = 60.0
    trouble_seconds: float = 0.0
    latency_seconds: float = 0.0
    next_turn: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def pause_seconds(self) -> float:
        """The pause as it is now: what was asked for, or what the host's trouble makes of it."""
        slow = self.latency_factor * self.latency_seconds
        longest = max(self.longest_seconds, self.delay_seconds)
        return min(max(self.delay_seconds, slow, self.trouble_seconds), longest)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the host's next turn; what happens inside `with` is the request.

        Where there is a pause, requests come one at a time.
        """
        clock = asyncio.get_running_loop().time
        if not self.pause_seconds and self.next_turn <= clock():
            yield
            return
        async with self.lock:
            while (pause := self.next_turn - clock()) > 0:
                await asyncio.sleep(pause)
            yield

    def wait(self, seconds: float) -> None:
        """Leave the host alone for so long from now, at least."""
        now = asyncio.get_running_loop().time()
        self.next_turn = max(self.next_turn, now + seconds)

    def answered(self, seconds: float, good: bool) -> None:
        """An answer came in `seconds`. Only a good one lets the pace recover."""
        if good:
            newest = _NEWEST if self.latency_seconds else 1.0
            self.latency_seconds += newest * (seconds - self.latency_seconds)
            calm = max(self.delay_seconds, _FIRST_PAUSE / _SLOWER)
            recovered = self.trouble_seconds * _RECOVERY
            self.trouble_seconds = recovered if recovered > calm else 0.0
        self.wait(self.pause_seconds)

    def struggled(self) -> None:
        """The host did not answer, or said that it is too much for it."""
        before = max(self.trouble_seconds, self.pause_seconds, _FIRST_PAUSE / _SLOWER)
        self.trouble_seconds = min(before * _SLOWER, max(self.longest_seconds, self.delay_seconds))
        self.wait(self.pause_seconds)

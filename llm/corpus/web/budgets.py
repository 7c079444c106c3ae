"""Which addresses of a level are let in, so that no host gives more pages than it may."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator

from llm.corpus.web.frontier import Waiting
from llm.corpus.web.urls import host


class Queue:
    """The addresses of a level in their order, given out as far as there is room.

    One is given out for each page that its host has room for, one more for each that gave none. So,
    whatever order the answers come in, the pages kept of a host are the first ones of the level.
    """

    def __init__(
        self,
        waiting: Iterable[Waiting],
        kept: Counter[str],
        max_pages: Callable[[str], int | None],
    ) -> None:
        """kept: pages of each host so far. max_pages: of a host, None where there is no limit."""
        self.rest = deque(waiting)
        self.taken = kept.copy()
        self.max_pages = max_pages
        self.parked: dict[str, deque[Waiting]] = {}

    def next(self) -> Waiting | None:
        """The next address whose host has room; None: there is none left."""
        while self.rest:
            waiting = self.rest.popleft()
            name = host(waiting.url)
            if self._has_room(name):
                self.taken[name] += 1
                return waiting
            self.parked.setdefault(name, deque()).append(waiting)
        return None

    def instead_of(self, waiting: Waiting) -> Waiting | None:
        """The next address, as one that was given out turned out to be no page."""
        name = host(waiting.url)
        self.taken[name] -= 1
        parked = self.parked.get(name)
        # What is parked of the host comes before everything that was not looked at yet.
        if parked and self._has_room(name):
            self.taken[name] += 1
            return parked.popleft()
        return self.next()

    def left(self) -> Iterator[Waiting]:
        """The addresses that there was no room for."""
        for parked in self.parked.values():
            yield from parked

    def _has_room(self, name: str) -> bool:
        limit = self.max_pages(name)
        return limit is None or self.taken[name] < limit

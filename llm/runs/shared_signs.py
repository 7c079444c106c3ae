"""Which runs of all machines are alive, where they share an object store: leases say so."""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from llm.step import BadInput
from llm.store.lease import Leases
from llm.store.locks import Busy

log = logging.getLogger(__name__)

ALIVE, ALONE = "alive", "alone"


class SharedSigns:
    """Leases of runs, and one of who deletes.

    A run takes its own lease first and then looks whether somebody deletes; who deletes takes that
    lease first and then looks whether a run is alive. So one of the two sees the other.
    """

    def __init__(self, leases: Leases) -> None:
        self.leases = leases

    @contextmanager
    def alive(self, name: str) -> Iterator[None]:
        """Hold the sign that a run is alive. Waits while another machine deletes."""
        told = False
        with self.leases.hold(ALIVE, name, what=f"runs {name}"):
            while self.leases.living(ALONE):
                if not told:
                    log.info("another machine deletes from the store: waiting for its end")
                    told = True
                time.sleep(self.leases.poll)
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Within it no machine deletes from the store."""
        with self.alive(f"look-{uuid.uuid4().hex}"):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no machine has a run going on. Raises BadInput while one has."""
        try:
            with self.leases.hold(ALONE, "all", what="deletes from the store", wait=False):
                runs = sorted(self.leases.living(ALIVE))
                if runs:
                    raise BadInput(
                        f"a run is in progress on another machine ({runs[0]}) and may be reading what would "
                        "be removed: wait for it, or stop it. A machine that died counts as running for a minute"
                    )
                yield
        except Busy as busy:
            raise BadInput(f"{busy}: wait for it") from None

    def living(self) -> set[str]:
        """The runs that are alive on other machines."""
        return self.leases.living(ALIVE)

    def forget(self, name: str) -> None:
        """Drop the sign of a run that died."""
        self.leases.forget(ALIVE, name)

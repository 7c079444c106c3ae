"""What commands share that run a flow and show it at the terminal."""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console

from flows.environment import HOME


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Overrides of the recipe, and those of the machine (`machine.workers=4`)."""
    machine = [item.removeprefix("machine.") for item in overrides if item.startswith("machine.")]
    return [item for item in overrides if not item.startswith("machine.")], machine


@contextmanager
def shown(console: Console) -> Iterator[None]:
    """Within it flows can be run, and what their tasks do is shown on the console."""
    from flows.service.api import prefect_api

    signal.signal(signal.SIGTERM, _interrupt)

    def tell(line: str) -> None:
        console.print(f"{line}; the run goes on", highlight=False, soft_wrap=True)

    with prefect_api(HOME, _import_prefect, tell) as address:
        from flows.service.tell import tell_untold
        from flows.service.watch import close_crashed
        from tasks.engine import reporting

        close_crashed(HOME, with_api=True)
        tell_untold(HOME, os.environ["PREFECT_API_URL"].removesuffix("/api"))
        if address:
            console.print(f"Watch it at {address}", highlight=False)
        reporting.terminal = reporting.Terminal(console)
        try:
            yield
        finally:
            reporting.terminal.close()


def _import_prefect() -> None:
    """Takes seconds, in which a server starts."""
    import tasks.engine.orchestrate  # noqa: F401


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def name_unreadable(console: Console, unreadable: Mapping[Path, str]) -> None:
    """Name the records and pointers that cannot be read."""
    for problem in unreadable.values():
        console.print(
            f"skipped: {problem}. Restore it from a backup, or delete it: as long as it is there, "
            "gc removes nothing that it may refer to",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )

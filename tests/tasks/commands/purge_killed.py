"""A purge that kills itself with SIGKILL once it has erased the texts: `python purge_killed.py HOME`."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from llm.store import Reference, Store
from tasks.commands.purge import purge
from tasks.engine.home import Home

REWRITE = Store.rewrite


def dying(store: Store, reference: Reference, change: Any) -> Any:
    """Dies before it comes to the crawl, the last of all."""
    if reference.step == "crawl":
        os.kill(os.getpid(), signal.SIGKILL)
    return REWRITE(store, reference, change)


if __name__ == "__main__":
    Store.rewrite = dying  # type: ignore[method-assign]
    purge(Home(Path(sys.argv[1])))

"""Where the server of `penstock ui` is, and who stands in for it when it has gone.

A sign is a lock that the kernel frees when its holder dies (`llm.runs`): without the UI's, whoever
listens at its address is a stranger.
"""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.service.server import LOOK_SECONDS, is_up
from llm import durable
from tasks.engine.home import Home

UI = "ui"
"""Held by `penstock ui` while its server can be used."""
COMES = "ui-comes"
"""Held by `penstock ui` until it has its port."""
STANDS_IN = "ui-stands-in"
"""Held by a run whose own server has taken the place of the UI's."""

ANSWER_SECONDS = 20.0
GIVE_WAY_SECONDS = 60.0


def _address_file(home: Home) -> Path:
    return home.folder / "server.json"


@contextmanager
def announced_as(home: Home, address: str) -> Iterator[None]:
    """Within it other commands find the server of `penstock ui` at this address."""
    with home.runs.present(UI):
        durable.write_json(_address_file(home), {"address": address, "pid": os.getpid()})
        _address_file(home).chmod(0o600)
        try:
            yield
        finally:
            _address_file(home).unlink(missing_ok=True)


def address_of_ui(home: Home) -> str | None:
    """The address that a `penstock ui` which is alive has announced, whether it answers or not."""
    if not home.runs.is_alive(UI):
        return None
    try:
        return str(json.loads(_address_file(home).read_text("utf8"))["address"])
    except (FileNotFoundError, ValueError):
        return None


def announced(home: Home) -> str | None:
    """The address of the running server of `penstock ui`, if there is one that answers."""
    address = address_of_ui(home)
    return address if address and is_up(address, ANSWER_SECONDS) else None


@contextmanager
def coming(home: Home) -> Iterator[None]:
    """Within it whoever stands in for the UI has given way, or a minute has passed."""
    with home.runs.present(COMES):
        deadline = time.monotonic() + GIVE_WAY_SECONDS
        while home.runs.is_alive(STANDS_IN) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        yield

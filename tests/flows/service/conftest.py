"""Homes with a server, and services for tests that kill what is in them."""

from collections.abc import Iterator

import pytest

from flows.service.server import Server
from llm.step import Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import Home
from tests.flows.service.living import SMALL, Service


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    made = Home(tmp_path_factory.mktemp("home"))
    made.prefect.mkdir()
    return made


@pytest.fixture(scope="session")
def server(home: Home) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_HOME", str(home.prefect))
        patch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        started = Server(home, 0, with_ui=False)
    try:
        started.wait()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which a small demo has run up to its tokens."""
    made = Home(tmp_path_factory.mktemp("home"))
    run_locally(made, "demo", SMALL, until="tokenize", report=Reporter())
    return made


@pytest.fixture(scope="session")
def service(tokens: Home) -> Iterator[Service]:
    """`penstock ui` in that home."""
    started = Service(tokens)
    try:
        yield started
    finally:
        started.stop()

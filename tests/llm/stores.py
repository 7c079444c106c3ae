"""Stores of every kind: a disk, fsspec's memory, and a real S3 server on loopback."""

import atexit
import functools
import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm.store import Store

BUCKET = "penstock"


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of moto's S3 server; the tests are skipped where it cannot be imported."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed: make setup")
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed: make setup")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    address = _server(moto)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", address)
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem().mkdirs(BUCKET, exist_ok=True)
        yield address


@functools.cache
def _server(moto: Any) -> str:
    """One for all folders of tests: s3fs keeps its connections to the first."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    atexit.register(server.stop)
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


@pytest.fixture(params=["disk", "memory", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    """Every kind of store."""
    return str(request.param)


@pytest.fixture(params=["memory", "s3"])
def object_kind(request: pytest.FixtureRequest) -> str:
    """Every kind of object store."""
    return str(request.param)


@pytest.fixture
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Store]:
    """A store of a kind, which a second call opens again, as another process or machine does."""
    name = uuid.uuid4().hex

    def make(kind: str, scratch: str = "scratch", cache_bytes: int = 10**9) -> Store:
        if kind == "disk":
            return Store(tmp_path / "store")
        if kind == "s3":
            request.getfixturevalue("s3")
        url = f"memory://{name}" if kind == "memory" else f"s3://{BUCKET}/{name}"
        return Store(url, scratch=tmp_path / scratch, cache_bytes=cache_bytes)

    return make


@pytest.fixture
def store(kind: str, make_store: Callable[..., Store]) -> Store:
    """A store of each kind."""
    return make_store(kind)

"""A database that is locked for the moment is told as such, in front of all of Prefect's own checks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from flows.service.app import BusyDatabase


@pytest.fixture
def database(tmp_path: Path) -> Iterator[sqlalchemy.Engine]:
    """SQLite that waits for no lock."""
    engine = sqlalchemy.create_engine(
        f"sqlite:///{tmp_path / 'some.db'}", connect_args={"timeout": 0}
    )
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE tokens (token TEXT)"))
    yield engine
    engine.dispose()


def asked(database: sqlalchemy.Engine, query: str) -> Response:
    """The answer where a middleware looks something up before the routes, as the CSRF check does."""

    class Check(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, go_on: RequestResponseEndpoint) -> Response:
            with database.connect() as connection:
                connection.execute(sqlalchemy.text(query))
            return await go_on(request)

    app = Starlette(
        routes=[Route("/", lambda request: PlainTextResponse("done"), methods=["POST"])],
        middleware=[Middleware(BusyDatabase), Middleware(Check)],
    )
    return TestClient(app, raise_server_exceptions=False).post("/")  # type: ignore[return-value]


def test_a_locked_database_is_503_without_a_wait_of_its_own(database: sqlalchemy.Engine) -> None:
    assert asked(database, "SELECT * FROM tokens").status_code == 200
    with database.connect() as other:
        other.exec_driver_sql("BEGIN EXCLUSIVE")
        locked = asked(database, "SELECT * FROM tokens")
    assert locked.status_code == 503
    assert "retry-after" not in locked.headers, "clients double their waits"
    assert asked(database, "SELECT * FROM tokens").status_code == 200


def test_other_errors_stay_errors(database: sqlalchemy.Engine) -> None:
    assert asked(database, "SELECT * FROM nothing").status_code == 500

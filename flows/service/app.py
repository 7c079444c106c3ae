"""The server's process: Prefect's application, which answers to its own names only.

`python -m flows.service.app FD`, with a socket that listens already. Prefect checks no Host header,
so that a page of another site whose name is pointed at this machine (DNS rebinding) would count as
the UI's own.
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI
from prefect.server.api.server import create_app, is_client_retryable_exception
from prefect.settings import get_current_settings
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.service.access import HOSTS

SHUTDOWN_SECONDS = 5


# Both of Prefect's UIs keep the password there. The part of an address behind # is sent to nobody.
LOGIN_PAGE = """<!doctype html><title>Penstock</title><script>
localStorage.setItem("prefect-password", btoa(location.hash.slice(1)));
location.replace("/");
</script>"""


def _login(request: Request) -> HTMLResponse:
    """`/login-with#user:password` opens the UI without typing the password."""
    return HTMLResponse(LOGIN_PAGE, headers={"Cache-Control": "no-store"})


class BusyDatabase:
    """Answers 503 where the database is locked for the moment; Prefect's clients ask again then.

    Prefect does so for its routes, but not where it looks up the CSRF token of a change. There is no
    Retry-After, with which clients would stop after eight short waits: without, they double theirs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def note(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, receive, note)
        except Exception as error:
            if scope["type"] != "http" or answered or not is_client_retryable_exception(error):
                raise
            busy = JSONResponse({"detail": "The database is busy: try again."}, status_code=503)
            await busy(scope, receive, send)


def guarded_app() -> FastAPI:
    """Prefect's API and UI behind a check of the Host header."""
    app = create_app(final=True)
    app.add_middleware(BusyDatabase)
    app.router.routes.insert(0, Route("/login-with", _login))
    # Added last, so asked first.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False)
    return app


def main(listening: socket.socket) -> None:
    """Serve on a listening socket until SIGTERM."""
    settings = get_current_settings().server
    config = uvicorn.Config(
        guarded_app(),
        timeout_keep_alive=settings.api.keepalive_timeout,
        ws_ping_interval=settings.api.websocket_ping_interval,
        ws_ping_timeout=settings.api.websocket_ping_timeout,
        log_level=settings.logging_level.lower(),
        # Pages and workers hold connections open, which would keep the server from ending.
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))

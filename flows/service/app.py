"""The server's process: Prefect's application, which answers to its own names only.

`python -m flows.service.app FD`, with a socket that listens already. Prefect checks no Host header,
so that a page of another site whose name is pointed at this machine (DNS rebinding) would count as
the UI's own.
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

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


def guarded_app() -> FastAPI:
    """Prefect's API and UI behind a check of the Host header."""
    app = create_app(final=True)
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

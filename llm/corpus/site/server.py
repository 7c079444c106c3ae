"""The built-in documentation site over HTTP, on the loopback device and a free port."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from llm.corpus.site.content import Response, Site


@contextmanager
def site_server(site: Site) -> Iterator[str]:
    """Serve `site` while inside `with`; gives its address as host:port."""

    class Handler(_Handler):
        content = site

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Connections that a client keeps open must not hold up the end.
    block_on_close = False
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    content: Site

    def do_GET(self) -> None:
        response = self.content.respond(unquote(urlsplit(self.path).path))
        etag = response.headers.get("ETag")
        asked = self.headers.get("If-None-Match", "").split(",")
        if etag is not None and etag in (one.strip().removeprefix("W/") for one in asked):
            response = Response(304, response.content_type, headers=response.headers)
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Requests are counted by the crawler."""

"""A web site for tests: on the loopback device, with whatever manners a test gives it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llm.corpus.web.crawler import WebSource
from llm.machine import Machine

NAME = "site.test"


@dataclass
class Reply:
    """What the site sends for a path. `slow`: seconds before it answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    slow: float = 0.0


Answer = Reply | Callable[[int], Reply]


class Website:
    """Paths and their answers (a function is given how often it was asked before)."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[float, str, dict[str, str]]] = []
        self.lock = threading.Lock()
        self.port = 0

    def add(self, path: str, body: str = "", *links: str, **more: object) -> None:
        """A page of text that links to `links`."""
        anchors = "".join(f'<a href="{link}">to {link}</a> ' for link in links)
        text = f"<html><title>{path}</title><body><p>{body or path}</p>{anchors}</body></html>"
        self.answers[path] = Reply(text.encode(), **more)  # type: ignore[arg-type]

    @property
    def hosts(self) -> dict[str, str]:
        return {NAME: f"127.0.0.1:{self.port}"}

    @property
    def machine(self) -> Machine:
        return Machine(hosts=self.hosts)

    @property
    def asked(self) -> Counter[str]:
        """How often each path was asked for, robots.txt and sitemap left out."""
        found = Counter(path for _, path, _ in self.requests)
        del found["/robots.txt"], found["/sitemap.xml"]
        return found

    def times(self, path: str) -> list[float]:
        return [moment for moment, asked, _ in self.requests if asked == path]

    def reply(self, path: str, headers: dict[str, str]) -> Reply:
        with self.lock:
            before = sum(asked == path for _, asked, _ in self.requests)
            self.requests.append((time.monotonic(), path, headers))
            answer = self.answers.get(path, Reply(b"nothing here", 404))
        return answer(before) if callable(answer) else answer


@pytest.fixture
def website() -> Iterator[Website]:
    """A running, empty site that http://site.test/ stands for on `website.machine`."""
    site = Website()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            reply = site.reply(self.path, dict(self.headers.items()))
            time.sleep(reply.slow)
            headers = {"Content-Type": "text/html; charset=utf-8"} | reply.headers
            try:
                self.send_response(reply.status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                self.wfile.write(reply.body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def source() -> Callable[..., WebSource]:
    """Makes a source that crawls http://site.test/ in a hurry."""

    def make(**fields: object) -> WebSource:
        values = {
            "seeds": (f"http://{NAME}/",),
            "delay_seconds": 0.0,
            "backoff_seconds": 0.05,
            "timeout_seconds": 5.0,
            "retries": 2,
        }
        return WebSource(**(values | fields))  # type: ignore[arg-type]

    return make

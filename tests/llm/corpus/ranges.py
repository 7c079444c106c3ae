"""A server of files for tests: on the loopback device, with ranges, and whatever goes wrong on networks."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "files.test"


class FileServer:
    """Files by path, and what goes wrong: a list of misfortunes, one a request, then all is well.

    Misfortunes: "503", "404", "break 1000" (closes after so many bytes), "no ranges", "promise 10"
    (says so many bytes more than it has), "elsewhere" (a range that was not asked for), "move PATH PATH",
    "little 1000" (never sends more than so many bytes of a range), "pause 5" (503, Retry-After).
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.misfortunes: list[str] = []
        self.requests: list[tuple[str, str]] = []
        self.headers: list[tuple[str, dict[str, str]]] = []
        self.with_tags = True
        self.sent = 0
        self.port = 0

    @property
    def hosts(self) -> dict[str, str]:
        return {NAME: f"127.0.0.1:{self.port}"}

    def url(self, path: str) -> str:
        return f"http://{NAME}/{path}"

    def ranges(self) -> list[str]:
        return [asked for _, asked in self.requests]


@contextmanager
def serve_files() -> Iterator[FileServer]:
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            files.requests.append((self.path, asked))
            files.headers.append((self.headers.get("Host", ""), dict(self.headers)))
            word, _, more = (files.misfortunes.pop(0) if files.misfortunes else "").partition(" ")
            data = files.files.get(self.path.lstrip("/"))
            tag = f'"{hashlib.md5(data or b"").hexdigest()}"'
            if word.isdecimal() or data is None or word == "pause":
                extra = {"Retry-After": more} if word == "pause" else {}
                self.answer(503 if word == "pause" else int(word or 404), b"", extra)
                return
            if word == "move":
                # A second address stands in a line of its own.
                named = zip(("Location", "location"), more.split(" "), strict=False)
                self.answer(302, b"", dict(named))
                return
            headers = {"ETag": tag} if files.with_tags else {}
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
            wanted = self.headers.get("If-Range", tag)
            if not match or word == "no" or wanted != tag:
                self.answer(200, data, headers, word, more)
                return
            start = int(match[1])
            stop = min(len(data), int(match[2]) + 1 if match[2] else len(data))
            if start >= len(data):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            if word == "elsewhere":
                start += 1
            if word == "little":
                stop = min(stop, start + int(more))
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(data)}"
            self.answer(206, data[start:stop], headers, word, more)

        def answer(
            self, status: int, body: bytes, headers: dict[str, str], word: str = "", more: str = ""
        ) -> None:
            promised = len(body) + (int(more) if word == "promise" else 0)
            body = body[: int(more)] if word == "break" else body
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            try:
                self.wfile.write(body)
                files.sent += len(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            if word in ("break", "promise"):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    files.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

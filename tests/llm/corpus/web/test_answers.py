"""Answers that real servers send must reach h11 in a form that it reads as browsers do."""

import h11
import pytest

from llm.corpus.web.answers import Answers

OK = b"HTTP/1.1 200 OK\r\n"


def read(wire: bytes, step: int) -> tuple[int, dict[bytes, bytes], bytes]:
    """(status, headers, body) as h11 reads the wire, given in pieces of `step` bytes."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    answers = Answers()
    answers.asked()
    status, headers, body = 0, dict[bytes, bytes](), b""
    pieces = [wire[start : start + step] for start in range(0, len(wire), step)]
    for piece in [*pieces, b"", b""]:
        mended = answers.feed(piece) if piece else answers.end()
        if mended or not piece:
            connection.receive_data(mended)
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status, headers = event.status_code, dict(event.headers)
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif event in (h11.NEED_DATA, h11.PAUSED) or isinstance(
                event, h11.EndOfMessage | h11.ConnectionClosed
            ):
                break
    return status, headers, body


@pytest.mark.parametrize(
    "head",
    [
        OK + b"X-Foo : bar\r\nContent-Length: 4\r\n\r\n",
        OK + b"X Foo: bar\r\nContent-Length: 4\r\n\r\n",
        OK + b"no colon here\r\nContent-Length: 4\r\n\r\n",
        OK + b": no name\r\nContent-Length : 4\r\n\r\n",
        OK + b"  folded onto nothing\r\nContent-Length: 4\r\n\r\n",
        OK + b"X-Foo: a\r\n\tb\r\n c\r\nContent-Length: 4\r\n\r\n",
        OK + b"X-Foo: a\x00b\x0bc\x01\r\nContent-Length: 4\r\n\r\n",
        OK + "X-Foo: Köln\r\nContent-Length: 4\r\n\r\n".encode("latin-1"),
        OK + b"Content-Length:4\r\nContent-Length: 4\r\n\r\n",
        OK + b"Content-Length: 4, 4\r\n\r\n",
        OK + b"Content-Length: 4\r\nContent-Length: four\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1  200   Fine \xe9\x01\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200OK\r\nContent-Length: 4\r\n\r\n",
        b"http/1.1 200 ok\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1 200 OK\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 4\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 4\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\n\r\n",
        b"\r\n" + OK + b"Content-Length: 4\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 \r\nLink : </a>\r\n\r\n" + OK + b"\r\n",
        OK + b"Content-Length:\r\n\r\n",
        OK + b"Content-Length: -1\r\nConnection: close\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_a_sloppy_head_is_read(head: bytes, step: int) -> None:
    status, headers, body = read(head + b"body", step)
    assert (status, body) == (200, b"body")
    for value in headers.values():
        assert not set(value) & set(b"\x00\r\n\x0b")


def test_what_a_sloppy_head_says_is_kept() -> None:
    _, headers, _ = read(OK + b"X-Foo : bar\r\nX-Fold: a\r\n  b\r\nContent-Length : 0\r\n\r\n", 3)
    assert headers[b"x-foo"] == b"bar"
    assert headers[b"x-fold"].split() == [b"a", b"b"]


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "wire",
    [
        CHUNKED + b"\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n",
        CHUNKED + b"\r\n2\nbo\n2\ndy\n0\n\n",
        CHUNKED + b"\r\n 2 ; a=b\r\nbo\r\n002\r\ndy\r\n0\r\n",
        CHUNKED + b"\r\n4\r\nbody\r\n0\r\nX-Trailer : x\r\n\r\n",
        CHUNKED + b"Transfer-Encoding: Chunked\r\nContent-Length: 9\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        CHUNKED.replace(b"chunked", b"identity, chunked") + b"\r\n4\r\nbody\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_a_sloppy_chunked_body_is_read(wire: bytes, step: int) -> None:
    assert read(wire, step)[::2] == (200, b"body")


@pytest.mark.parametrize(
    "wire",
    [
        b"<html>no head at all</html>",
        OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
        OK + b"Content-Length: 9\r\n\r\nbody",
        CHUNKED + b"\r\nzz\r\nbody\r\n0\r\n\r\n",
        CHUNKED + b"\r\n4\r\nbody\r\n",
        CHUNKED.replace(b"chunked", b"gzip") + b"\r\nbody",
        OK + b"Content-Len",
    ],
)
@pytest.mark.parametrize("step", [1, 10_000])
def test_what_nobody_can_be_sure_of_is_an_error_still(wire: bytes, step: int) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        read(wire, step)


@pytest.mark.parametrize("extra", [b"\r\n", b"\n", b"", b"more than promised"])
@pytest.mark.parametrize("head", [OK + b"Content-Length: 4\r\n\r\nbody", b"HTTP/1.1 304 \r\n\r\n"])
def test_what_follows_an_answer_does_not_reach_the_next(extra: bytes, head: bytes) -> None:
    answers = Answers()
    answers.asked()
    first = answers.feed(head + extra)
    assert not extra.strip() or extra not in first
    assert answers.spoiled == bool(extra.strip())
    answers.asked()
    assert answers.feed(OK + b"\r\n").startswith(OK)

"""Answers of HTTP/1 as they are on the wire, mended so that a strict parser reads what browsers read.

h11 refuses an answer for one blank before a colon; user agents read on (RFC 9112 forbids such things to
servers and has recipients pass over most). What would change where a body ends is not mended.
"""

import re

_MAX_HEAD = 100 * 1024
_MAX_CHUNK_LINE = 4096
_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS = re.compile(
    rb"http/(\d)(?:\.(\d))?[ \t]*(\d{3})(?!\d)[ \t]*(.*)", re.IGNORECASE | re.DOTALL
)
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,16})[ \t]*(?:;.*)?", re.DOTALL)
# Control characters, which no value may hold and some parsers stumble over.
_CONTROLS = bytes(32 if code < 32 or code == 127 else code for code in range(256))


class Answers:
    """The answers of one connection, one after another: bytes from the wire in, mended ones out.

    For GET requests, of which each waits for the answer to the one before.
    spoiled: more came than the answer's length said, so that no next answer can be relied on.
    """

    def __init__(self) -> None:
        self.rest = bytearray()
        self.step = self._head
        self.left = 0
        self.spoiled = False

    def asked(self) -> None:
        """A request is sent: what comes next is the head of its answer."""
        if self.step == self._over:
            self.rest.clear()
            self.step = self._head

    def feed(self, data: bytes) -> bytes:
        """Take what came; what can be handed on of it."""
        self.rest += data
        out = bytearray()
        while self.rest and self.step(out):
            pass
        return bytes(out)

    def end(self) -> bytes:
        """The connection has ended: what was held back."""
        rest = bytes(self.rest)
        self.rest.clear()
        return b"" if self.step == self._over else rest

    def _head(self, out: bytearray) -> bool:
        """Wait for a whole head, and mend it."""
        del self.rest[: len(self.rest) - len(self.rest.lstrip(b"\r\n"))]
        if self.rest[:5].lower() != b"http/"[: len(self.rest)] or len(self.rest) > _MAX_HEAD:
            self.step = self._as_it_is  # nothing that can be mended
            return True
        end = _HEAD_END.search(self.rest)
        if end is None:
            return False
        head = bytes(self.rest[: end.end()])
        del self.rest[: end.end()]
        out += self._mended(head)
        return True

    def _mended(self, head: bytes) -> bytes:
        first, *lines = [line.rstrip(b"\r") for line in head.split(b"\n")[:-2]]
        status = _STATUS.fullmatch(first.rstrip())
        if status is None:
            self.step = self._as_it_is
            return head
        code = int(status[3])
        old = status[1] == b"0" or (status[1], status[2]) == (b"1", b"0")
        version = b"1.0" if old else b"1.1"
        fields = _fields(lines)
        codings = _members(fields, b"transfer-encoding")
        lengths = _members(fields, b"content-length")
        fields = [field for field in fields if field[0].lower() not in _FRAMING]
        codings = [coding.lower() for coding in codings if coding.lower() != b"identity"]
        if code < 200:
            self.step = self._as_it_is if code == 101 else self._head
        elif code in (204, 304):
            self.step = self._over
        elif codings:
            # Named twice it is the same coding; any other is the parser's to refuse.
            named = list(dict.fromkeys(codings))
            fields.append((b"Transfer-Encoding", b", ".join(named)))
            self.step = self._chunk_size if named == [b"chunked"] else self._as_it_is
        else:
            valid = set(map(int, filter(_LENGTH.fullmatch, lengths)))
            fields += [(b"Content-Length", b"%d" % length) for length in sorted(valid)]
            self.step = self._counted if len(valid) == 1 else self._as_it_is
            self.left = next(iter(valid), 0)
            if len(valid) == 1 and not self.left:
                self.step = self._over
        reason = status[4].translate(_CONTROLS).strip()
        begin = b"HTTP/%s %03d %s" % (version, code, reason)
        return b"\r\n".join([begin, *(b"%s: %s" % field for field in fields), b"", b""])

    def _as_it_is(self, out: bytearray) -> bool:
        out += self.rest
        self.rest.clear()
        return False

    def _counted(self, out: bytearray) -> bool:
        if self._pass(out):
            self.step = self._over
        return True

    def _pass(self, out: bytearray) -> bool:
        """Hand on what is here of the bytes that are left. True: that is all of them."""
        out += self.rest[: self.left]
        here = min(self.left, len(self.rest))
        del self.rest[:here]
        self.left -= here
        return not self.left

    def _chunk_size(self, out: bytearray) -> bool:
        line, end, _ = self.rest.partition(b"\n")
        if not end and len(line) <= _MAX_CHUNK_LINE:
            return False
        size = _CHUNK.fullmatch(line.rstrip(b"\r"))
        if size is None or not end:
            self.step = self._as_it_is
            return True
        del self.rest[: len(line) + 1]
        self.left = int(size[1], 16)
        out += b"%x\r\n" % self.left
        if self.left:
            self.step = self._chunk
        else:
            # The end, whatever follows: some servers leave out the last line end, few send trailers.
            out += b"\r\n"
            self.step = self._over
        return True

    def _chunk(self, out: bytearray) -> bool:
        if self._pass(out):
            self.step = self._chunk_end
        return True

    def _chunk_end(self, out: bytearray) -> bool:
        if self.rest == b"\r":
            return False
        end = 2 if self.rest.startswith(b"\r\n") else 1
        self.step = self._chunk_size if self.rest[:end] in (b"\n", b"\r\n") else self._as_it_is
        if self.step == self._chunk_size:
            del self.rest[:end]
            out += b"\r\n"
        return True

    def _over(self, out: bytearray) -> bool:
        self.spoiled = self.spoiled or bool(self.rest.strip(b"\r\n"))
        self.rest.clear()
        return False


_FRAMING = {b"transfer-encoding", b"content-length"}


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """The fields of a head: folded lines as one, and without lines that are none."""
    fields = list[tuple[bytes, bytes]]()
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if fields:
                name, value = fields[-1]
                fields[-1] = (name, value + b" " + line)
            continue
        name, colon, value = line.partition(b":")
        if colon and _NAME.fullmatch(name.rstrip()):
            fields.append((name.rstrip(), value))
    return [(name, value.translate(_CONTROLS).strip()) for name, value in fields]


def _members(fields: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    found = [value for field, value in fields if field.lower() == name]
    return [member.strip() for value in found for member in value.split(b",") if member.strip()]

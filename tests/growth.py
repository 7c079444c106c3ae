"""How much a function does with its input, in counts that no machine changes."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from types import FrameType, ModuleType
from typing import Any
from unittest import mock

# (position, what to do behind the match) → where all of it ends; -1: no match.
Behind = Callable[[int], int]
Node = Callable[[int, Behind], int]

_CATEGORIES = {
    c.CATEGORY_DIGIT: (r"\d", True),
    c.CATEGORY_NOT_DIGIT: (r"\d", False),
    c.CATEGORY_SPACE: (r"\s", True),
    c.CATEGORY_NOT_SPACE: (r"\s", False),
    c.CATEGORY_WORD: (r"\w", True),
    c.CATEGORY_NOT_WORD: (r"\w", False),
}
_SINGLE = (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN)


def work(function: Callable[[Any], object], value: Any, modules: Iterable[ModuleType]) -> int:
    """Lines that `function` runs in these modules, characters it copies, steps its patterns take.

    The steps are those of a backtracking matcher, run beside the real one and held against it.
    """
    steps = Steps()
    files = {module.__file__ for module in modules}

    def lines(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        steps.count += 1
        return lines

    with _counted(modules, steps):
        before, limit = sys.gettrace(), sys.getrecursionlimit()
        sys.setrecursionlimit(1_000_000)
        if isinstance(value, str):
            value = Text(value)
            value.steps = steps
        sys.settrace(lines)
        try:
            function(value)
        finally:
            sys.settrace(before)
            sys.setrecursionlimit(limit)
    return steps.count


class Steps:
    """How many there were."""

    count = 0


@contextmanager
def _counted(modules: Iterable[ModuleType], steps: Steps) -> Iterator[None]:
    patches = [
        mock.patch.object(module, name, _with_counts(value, steps))
        for module in modules
        for name, value in list(vars(module).items())
        if isinstance(value, re.Pattern | tuple)
    ]
    for patch in patches:
        patch.start()
    try:
        yield
    finally:
        for patch in patches:
            patch.stop()


def _with_counts(value: Any, steps: "Steps") -> Any:
    if isinstance(value, re.Pattern):
        return Counted(value, steps)
    if type(value) is tuple:
        return tuple(_with_counts(one, steps) for one in value)
    return value


class Text(str):
    """A text; what is copied out of it counts."""

    steps: "Steps"

    def __getitem__(self, key: Any) -> str:
        piece = super().__getitem__(key)
        self.steps.count += len(piece)
        return piece


class Counted:
    """A pattern whose steps are counted."""

    def __init__(self, pattern: re.Pattern[Any], steps: Steps) -> None:
        self.pattern, self.steps = pattern, steps
        tree = parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
        self.flags = tree.state.flags | pattern.flags
        self.text: Any = ""
        self.end = 0
        self.held: dict[int, tuple[int, int]] = {}
        self.node = self._sequence(tree)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pattern, name)

    def search(self, text: Any, start: int = 0, end: int = sys.maxsize) -> Any:
        found = self.pattern.search(text, start, end)
        self._look(text, start, end, found)
        return found

    def match(self, text: Any, start: int = 0, end: int = sys.maxsize) -> Any:
        found = self.pattern.match(text, start, end)
        self._at(text, start, end, lambda at: at, found)
        return found

    def fullmatch(self, text: Any, start: int = 0, end: int = sys.maxsize) -> Any:
        found = self.pattern.fullmatch(text, start, end)
        whole = min(end, len(text))
        self._at(text, start, end, lambda at: at if at == whole else -1, found)
        return found

    def finditer(self, text: Any, start: int = 0, end: int = sys.maxsize) -> Iterator[Any]:
        at = start
        for found in self.pattern.finditer(text, start, end):
            self._look(text, at, end, found)
            at = found.end() + (found.end() == found.start())
            yield found
        self._look(text, at, end, None)

    def findall(self, text: Any) -> Any:
        list(self.finditer(text))
        return self.pattern.findall(text)

    def split(self, text: Any, most: int = 0) -> Any:
        list(self.finditer(text))
        return self.pattern.split(text, most)

    def sub(self, new: Any, text: Any, most: int = 0) -> Any:
        list(self.finditer(text))
        return self.pattern.sub(new, text, most)

    def _look(self, text: Any, start: int, end: int, found: Any) -> None:
        last = found.start() if found else min(end, len(text))
        for at in range(start, last):
            self._at(text, at, end, lambda place: place, None)
        self._at(text, last, end, lambda place: place, found)

    def _at(self, text: Any, start: int, end: int, behind: Behind, found: Any) -> None:
        self.text, self.end, self.held = text, min(end, len(text)), {}
        if start > self.end:
            return
        ends = self.node(start, behind)
        assert ends == (found.end() if found else -1), (self.pattern.pattern, start, ends, found)

    def _sequence(self, items: Iterable[tuple[Any, Any]]) -> Node:
        nodes = [self._one(op, value) for op, value in items]

        def run(at: int, behind: Behind, number: int = 0) -> int:
            if number == len(nodes):
                return behind(at)
            return nodes[number](at, lambda place: run(place, behind, number + 1))

        return run

    def _one(self, op: Any, value: Any) -> Node:
        if op in _SINGLE:
            fits = self._single(op, value)
            return lambda at, behind: behind(at + 1) if fits(at) else -1
        if op is c.BRANCH:
            branches = [self._sequence(one) for one in value[1]]
            return lambda at, behind: next(
                (end for one in branches if (end := one(at, behind)) >= 0), -1
            )
        if op in (c.MAX_REPEAT, c.MIN_REPEAT):
            return self._repeat(*value, greedy=op is c.MAX_REPEAT)
        if op is c.SUBPATTERN:
            return self._group(value[0], self._sequence(value[3]))
        if op is c.GROUPREF:
            return lambda at, behind: self._again(value, at, behind)
        if op is c.AT:
            return lambda at, behind: behind(at) if self._stands(value, at) else -1
        if op in (c.ASSERT, c.ASSERT_NOT):
            return self._assertion(value[0], value[1], wanted=op is c.ASSERT)
        raise NotImplementedError(op)

    def _single(self, op: Any, value: Any) -> Callable[[int], bool]:
        source = _source(op, value, bool(self.flags & re.DOTALL))
        one = re.compile(source, self.flags & (re.IGNORECASE | re.DOTALL | re.ASCII))
        known: dict[Any, bool] = {}

        def fits(at: int) -> bool:
            self.steps.count += 1
            if at >= self.end:
                return False
            letter = self.text[at]
            if letter not in known:
                known[letter] = one.fullmatch(letter) is not None
            return known[letter]

        return fits

    def _repeat(self, least: int, most: Any, items: Any, greedy: bool) -> Node:
        if len(items) == 1 and items[0][0] in _SINGLE:
            fits = self._single(*items[0])

            def singles(at: int, behind: Behind) -> int:
                there = 0
                if not greedy:
                    while there < least and fits(at + there):
                        there += 1
                    while there >= least:
                        if (end := behind(at + there)) >= 0:
                            return end
                        if there >= int(most) or not fits(at + there):
                            return -1
                        there += 1
                    return -1
                while there < int(most) and fits(at + there):
                    there += 1
                for count in range(there, least - 1, -1):
                    self.steps.count += 1
                    if (end := behind(at + count)) >= 0:
                        return end
                return -1

            return singles
        node = self._sequence(items)

        def several(at: int, behind: Behind, count: int = 0) -> int:
            self.steps.count += 1

            def more() -> int:
                if count >= int(most):
                    return -1
                return node(
                    at,
                    lambda place: (
                        -1 if place == at and count >= least else several(place, behind, count + 1)
                    ),
                )

            if count < least:
                return more()
            for way in (more, lambda: behind(at)) if greedy else (lambda: behind(at), more):
                if (end := way()) >= 0:
                    return end
            return -1

        return several

    def _group(self, number: int | None, node: Node) -> Node:
        if number is None:
            return node

        def run(at: int, behind: Behind) -> int:
            before = self.held.get(number)

            def ended(place: int) -> int:
                self.held[number] = (at, place)
                return behind(place)

            end = node(at, ended)
            if end < 0 and before is not None:
                self.held[number] = before
            return end

        return run

    def _again(self, number: int, at: int, behind: Behind) -> int:
        start, end = self.held.get(number, (0, -1))
        self.steps.count += 1
        same = end >= start and self.text[at : at + end - start] == self.text[start:end]
        return behind(at + end - start) if same else -1

    def _assertion(self, direction: int, items: Any, wanted: bool) -> Node:
        node = self._sequence(items)
        back = items.getwidth()[0] if direction < 0 else 0

        def run(at: int, behind: Behind) -> int:
            self.steps.count += 1
            found = at >= back and node(at - back, lambda place: place) >= 0
            return behind(at) if found is wanted else -1

        return run

    def _stands(self, where: Any, at: int) -> bool:
        self.steps.count += 1
        text, multiline = self.text, bool(self.flags & re.MULTILINE)
        if where in (c.AT_BEGINNING, c.AT_BEGINNING_STRING):
            lines = multiline and where is c.AT_BEGINNING
            return at == 0 or (lines and text[at - 1] == "\n")
        if where is c.AT_END:
            last = at == self.end or (at == self.end - 1 and text[at] == "\n")
            return last or (multiline and text[at] == "\n")
        if where is c.AT_END_STRING:
            return at == self.end
        word = [
            0 <= place < self.end and re.match(r"\w", text[place]) is not None
            for place in (at - 1, at)
        ]
        return (word[0] != word[1]) is (where is c.AT_BOUNDARY)


def _source(op: Any, value: Any, dotall: bool) -> str:
    """A pattern for one character."""
    if op is c.ANY:
        return "."
    if op is c.LITERAL:
        return re.escape(chr(value))
    if op is c.NOT_LITERAL:
        return f"[^{re.escape(chr(value))}]"
    parts, negated = [], ""
    for kind, what in value:
        if kind is c.NEGATE:
            negated = "^"
        elif kind is c.LITERAL:
            parts.append(re.escape(chr(what)))
        elif kind is c.RANGE:
            parts.append(f"{re.escape(chr(what[0]))}-{re.escape(chr(what[1]))}")
        else:
            letter, inside = _CATEGORIES[what]
            parts.append(letter if inside else letter.upper())
    return f"[{negated}{''.join(parts)}]"

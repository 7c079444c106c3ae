"""Questions and answers to fine-tune on: derived from Python's documentation, or the user's own.

Both steps write train.jsonl and validation.jsonl, one `{"messages": [...], "url": ...}` a line. A
derived pair is held out when its page is, by the rule of the documents: what the model is asked in
the evaluation it has read nowhere.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llm.corpus import documents
from llm.corpus.conversations import Messages, read_conversations
from llm.corpus.questions_settings import BUILTIN, QuestionSettings
from llm.corpus.site import documentation
from llm.corpus.site.documentation import Class, Function, Module, Parameter
from llm.step import BadInput, Context, Inputs, StepResult, digest_of
from llm.words import counted

LIBRARIES = ("python", "zstandard")  # the documentation is that of the interpreter

FEWEST_WORDS = 3  # fewer are a heading (`Constructor.`), no explanation

_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?]['\")\]]))\s+(?=[A-Z`'\"(*])")
_UNDERLINE = re.compile(r"^[=\-~^*#_]{3,}$", re.MULTILINE)
# Where an explanation ends and a list of parameters, results or examples begins.
_LIST = re.compile(
    r"^\s*(?:[-*+] |:\w+|@\w+|>>>|(?:args?|arguments?|param(?:eter)?s?|returns?|raises|keywords?"
    r"|usage|examples?|notes?)\s*:)",
    re.MULTILINE | re.IGNORECASE,
)
_UNFINISHED = (":", ",", "e.g.", "i.e.")


@dataclass(frozen=True)
class Pair:
    """One question with its answer. kind: purpose, parameters or members."""

    kind: str
    question: str
    answer: str
    url: str


def derive(values: QuestionSettings, inputs: Inputs, context: Context) -> StepResult:
    """Ask about each documented module, class and function of the standard library.

    Raises BadInput for a name that is not built in, or an installation without source files.
    """
    if values.data != BUILTIN:
        raise BadInput(f"data {values.data!r}: the only built-in questions are {BUILTIN!r}")
    sources = documentation.standard_library()
    pairs: dict[str, Pair] = {}
    for done, source in enumerate(sources, start=1):
        module = documentation.read(source)
        if module is not None:
            for pair in ask_about(module, values.answer_characters):
                pairs.setdefault(pair.question, pair)
        context.report.progress(done, len(sources), "modules")
    kinds = Counter(pair.kind for pair in pairs.values())
    rows = (
        ([_message("user", pair.question), _message("assistant", pair.answer)], pair.url)
        for pair in pairs.values()
    )
    return _write(rows, values, context, {"kinds": dict(sorted(kinds.items()))})


def read(values: QuestionSettings, inputs: Inputs, context: Context) -> StepResult:
    """Take over the conversations of `inputs["files"]`.

    A conversation without a `url` is held out by its first question, so that a question asked
    twice is never on both sides. Raises BadInput naming the file and line that is wrong.
    """
    files = inputs["files"]

    def rows() -> Iterator[tuple[Messages, str]]:
        for done, path in enumerate(files, start=1):
            yield from read_conversations(path)
            context.report.progress(done, len(files), "files")

    return _write(rows(), values, context, {})


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _write(
    rows: Iterable[tuple[Messages, str]],
    values: QuestionSettings,
    context: Context,
    counts: dict[str, dict[str, int]],
) -> StepResult:
    """Split the conversations and write them; `repeated` are held-out ones that training has too.

    taken_down: left out, because the takedown list covers their addresses.
    """
    held_out: list[tuple[Messages, str]] = []
    answers: set[str] = set()
    erased = set(values.erased)
    train = taken_down = 0
    with (context.out / "train.jsonl").open("w", encoding="utf8") as stream:
        for messages, url in rows:
            if erased and url and digest_of([url]) in erased:
                taken_down += 1
                continue
            first = next((one["content"] for one in messages if one["role"] == "user"), "")
            key = documents.hash64(url or first)
            if documents.validation(key, values.validation_fraction):
                held_out.append((messages, url))
                continue
            train += 1
            answers.add(_last_answer(messages))
            stream.write(_line(messages, url))
    if not train:
        lost = f"all {len(held_out)} are held out" if held_out else "there are none"
        lost += f", {taken_down} were taken down" if taken_down else ""
        raise BadInput(
            f"no conversations to learn from in {values.data}: {lost}; give more of them, or lower "
            "tokenize.validation.fraction"
        )
    # A page that copies another's text would make the held-out answers look learned.
    fresh = [row for row in held_out if _last_answer(row[0]) not in answers]
    with (context.out / "validation.jsonl").open("w", encoding="utf8") as stream:
        stream.writelines(_line(messages, url) for messages, url in fresh)
    if not fresh:
        context.report.warning(
            f"none of {counted(train, 'conversation')} is held out: the answers cannot be evaluated"
        )
    split = {"train": train, "validation": len(fresh), "repeated": len(held_out) - len(fresh)}
    if taken_down:
        split["taken_down"] = taken_down
    return StepResult(
        counts={**split, **counts},
        summary=f"{counted(train, 'conversation')} for training, {len(fresh):,} for validation",
    )


def _last_answer(messages: Messages) -> str:
    return next(one["content"] for one in reversed(messages) if one["role"] == "assistant")


def _line(messages: Messages, url: str) -> str:
    return json.dumps({"messages": messages, "url": url}, ensure_ascii=False) + "\n"


def ask_about(module: Module, limit: int) -> Iterator[Pair]:
    """All questions whose answers (at most `limit` characters) a module's documentation gives."""
    answer = explanation(module.doc, module.name, limit)
    if answer:
        yield Pair("purpose", f"What is the module {module.name} for?", answer, module.url)
    functions = [function.name for function in module.functions]
    yield from _members("functions", f"the module {module.name}", functions, module.url, limit)
    for function in module.functions:
        yield from _ask_about_function(function, module.url, limit)
    for item in module.classes:
        answer = explanation(item.doc, item.name, limit)
        if answer:
            yield Pair("purpose", f"What is {item.qualified_name}?", answer, module.url)
        yield from _ask_about_members(item, module.url, limit)


def _ask_about_members(item: Class, url: str, limit: int) -> Iterator[Pair]:
    methods = [
        method.name
        for method in item.methods
        if method.kind != "property" and not method.name.startswith("_")
    ]
    yield from _members("methods", item.qualified_name, methods, url, limit)
    for method in item.methods:
        yield from _ask_about_function(method, url, limit)


def _members(what: str, owner: str, names: list[str], url: str, limit: int) -> Iterator[Pair]:
    answer = f"{owner[0].upper() if ' ' in owner else owner[0]}{owner[1:]} has {_listed(names)}."
    if len(names) > 1 and len(answer) <= limit:
        yield Pair("members", f"Which {what} does {owner} have?", answer, url)


def _ask_about_function(function: Function, url: str, limit: int) -> Iterator[Pair]:
    answer = explanation(function.doc, function.name, limit)
    if not answer:
        return
    name = function.qualified_name
    if function.kind == "property":
        yield Pair("purpose", f"What is {name}?", answer, url)
        return
    yield Pair("purpose", f"What does {name} do?", answer, url)
    for answer in (_parameters(function, notes=True), _parameters(function, notes=False)):
        if len(answer) <= limit:
            yield Pair("parameters", f"What are the parameters of {name}?", answer, url)
            return


def explanation(doc: str, name: str, limit: int) -> str:
    """The first paragraph of a docstring on one line, in whole sentences; "" where none will do.

    A first paragraph that is a call (`join(a, *p) -> path`) or a heading is passed over.
    """
    paragraphs = re.split(r"\n\s*\n", _UNDERLINE.sub("", doc.strip()))
    for paragraph in paragraphs[:2]:
        words = _LIST.split(paragraph, maxsplit=1)[0].split()
        text = " ".join(words)
        if len(words) < FEWEST_WORDS or re.match(rf"[\w.]*{re.escape(name)}\s?\(", text):
            continue
        return _whole_sentences(text, limit)
    return ""


def _whole_sentences(text: str, limit: int) -> str:
    """As many sentences as fit, without a last one that leads up to what is cut off (`such as:`)."""
    sentences = _SENTENCE_END.split(text)
    while sentences:
        found = " ".join(sentences)
        if len(found) <= limit and not found.endswith(_UNFINISHED):
            return found
        sentences.pop()
    return ""


def _parameters(function: Function, notes: bool) -> str:
    """`json.dump takes obj, fp and skipkeys (False by default, by keyword only)`."""
    given = list(function.parameters)
    bound = function.kind in ("method", "classmethod") and given
    if bound and given[0].kind.startswith("positional"):
        given = given[1:]  # self or cls: nobody passes it
    if not given:
        return f"{function.qualified_name} takes no parameters."
    return f"{function.qualified_name} takes {_listed([_parameter(one, notes) for one in given])}."


def _parameter(parameter: Parameter, notes: bool) -> str:
    stars = {"variadic": "*", "keywords": "**"}.get(parameter.kind, "")
    said = []
    if parameter.default is not None:
        said.append(f"{parameter.default} by default")
    if parameter.kind == "keyword-only":
        said.append("by keyword only")
    return f"{stars}{parameter.name}" + (f" ({', '.join(said)})" if said and notes else "")


def _listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)

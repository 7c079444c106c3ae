"""Questions and answers that are derived from Python's documentation.

A pair is held out when its page is, by the rule of the documents: what the model is asked in the
evaluation it has read nowhere.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from llm.corpus.site import documentation
from llm.corpus.site.documentation import Class, Function, Module, Parameter
from llm.examples.settings import BUILTIN, CONVERSATIONS, ExampleSettings
from llm.examples.shards import Example
from llm.examples.split import write
from llm.step import BadInput, Context, Inputs, StepResult

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


def derive(values: ExampleSettings, inputs: Inputs, context: Context) -> StepResult:
    """Ask about each documented module, class and function of the standard library.

    Raises BadInput for a name that is not built in, a task that learns from other columns, or an
    installation without source files.
    """
    if values.data != BUILTIN:
        raise BadInput(f"data {values.data!r}: the only built-in questions are {BUILTIN!r}")
    if values.columns != CONVERSATIONS:
        raise BadInput(
            f"{BUILTIN} has conversations, and the task learns from "
            f"{', '.join(column.name for column in values.columns)}: name files of your own"
        )
    sources = documentation.standard_library()
    pairs: dict[str, Pair] = {}
    repeated = 0
    for done, source in enumerate(sources, start=1):
        module = documentation.read(source)
        if module is not None:
            for pair in ask_about(module, values.answer_characters):
                repeated += pairs.setdefault(pair.question, pair) is not pair
        context.report.progress(done, len(sources), "modules")
    kinds = Counter(pair.kind for pair in pairs.values())
    return write(
        (_example(pair) for pair in pairs.values()),
        values,
        context,
        {"dropped": {"asked_twice": repeated}, "kinds": dict(sorted(kinds.items()))},
    )


def _example(pair: Pair) -> Example:
    messages = [
        {"role": "user", "content": pair.question},
        {"role": "assistant", "content": pair.answer},
    ]
    return Example((messages,), pair.url)


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

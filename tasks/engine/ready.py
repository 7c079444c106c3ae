"""Whether a run can have what it needs from outside: asked before a server is started or a page fetched.

What a recipe says is checked when it is loaded (`llm.recipe`); here its functions are imported, the first
lines of its files are read, logins are looked for in the environment and hosts are looked up. What the
store has already needs none of it.
"""

import inspect
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm.corpus.sources.hook_settings import HookSource
from llm.corpus.sources.warc_settings import WarcSource
from llm.corpus.web.websource import WebSource
from llm.located import written
from llm.machine import Machine
from llm.recipe import Recipe
from llm.recipe.machine_rules import of_both
from llm.recipe.rules import RESERVES
from llm.step import BadInput
from llm.tokens.special import GROUPS
from llm.training.finetune.task import examples_of, files_of, task_of
from tasks.engine.run import Run
from tasks.engine.step import Call

_FIRST = 20  # lines of a file that are looked at


def check(recipe: Recipe, machine: Machine, stages: Sequence[str]) -> None:
    """What stages after the crawl need. Raises BadInput naming everything that is missing."""
    said = [problem.message for problem in of_both(recipe, machine, stages)]
    for stage, look in _LOOKS.items():
        if stage in stages:
            said += look(recipe)
    if "crawl" in stages and not recipe.crawl.sources:
        said.append(
            f"crawl.sources: the recipe {recipe.name} names no source: extend it, and name your own"
        )
    if said:
        raise BadInput("\n".join(dict.fromkeys(said)))


def check_crawl(run: Run, calls: Sequence[Call], missing: Sequence[str] = ()) -> None:
    """What those calls of a crawl need that the store has no artifact of. Raises BadInput.

    missing: what was missed already, told with the rest.
    """
    said = list(missing)
    for call in calls:
        kinds = WebSource | WarcSource | HookSource
        if isinstance(call.values, kinds) and _is_pending(run, call):
            path = f"crawl.sources.{call.label}"
            if isinstance(call.values, WarcSource):
                said += _login(path, call.values)
                continue
            if isinstance(call.values, WebSource):
                said += _web(path, call.values, run.machine)
            else:
                options = dict(call.values.options)
                said += _hook(
                    f"{path}.function",
                    call.values.function,
                    {**options, **({"paths": []} if call.values.path else {})},
                )
    if said:
        raise BadInput("\n".join(said))


def _is_pending(run: Run, call: Call) -> bool:
    return run.judged(call).artifact is None


def _login(path: str, source: WebSource | WarcSource) -> Iterator[str]:
    from llm.corpus.web.login import login

    try:
        login(source.headers, set(), set())
    except BadInput as error:
        yield f"{path}.headers: {error}"


def _web(path: str, source: WebSource, machine: Machine) -> Iterator[str]:
    from llm.corpus.web.names import unresolved
    from llm.corpus.web.urls import normalise

    yield from _login(path, source)
    seeds = [url for url in map(normalise, source.seeds) if url is not None]
    missing = unresolved(seeds, machine.hosts)
    if missing and len(missing) == len(source.seeds):
        for seed, host in missing.items():
            yield (
                f"{path}.seeds: the host {host} of {seed} does not resolve: check the spelling, or "
                "whether this machine reaches a name server"
            )


def _hook(path: str, name: str, arguments: dict[str, Any], *given: Any) -> Iterator[str]:
    """Whether a function can be imported and takes what it will be given."""
    from llm.corpus import hooks

    try:
        function = hooks.resolve(name)
    except BadInput as error:
        yield f"{path}: {error}"
        return
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of a function in C
        return
    try:
        signature.bind(*given, **arguments)
    except TypeError as error:
        takes = f"{written(name).partition(':')[2]}{signature}"
        yield f"{path}: {takes} cannot be called as the recipe says: {error}"


def _clean(recipe: Recipe) -> Iterator[str]:
    for name, hook in recipe.clean.hooks.items():
        yield from _hook(f"clean.hooks.{name}.function", hook.function, {}, [], [])
    settings = recipe.clean.decontaminate
    if settings.sets:
        from llm.corpus.contamination.sets import evaluation_files, first_items

        try:
            first_items(settings, evaluation_files(settings))
        except BadInput as error:
            yield f"clean.decontaminate.sets: {error}"


def _tokenizer(recipe: Recipe) -> Iterator[str]:
    if recipe.tokenizer.imported is None:
        return
    from llm.tokens.imports import tokenizer_files

    try:
        files = tokenizer_files(Path(recipe.tokenizer.imported))
    except BadInput as error:
        yield str(error)
        return
    held = b"".join(path.read_bytes() for path in files)
    objective = recipe.pretrain.objective.type
    asked = {
        group: f"finetune {task.name}"
        for task in recipe.finetune
        for group in task_of(task.task).reserves
    }
    if objective in RESERVES:
        asked[RESERVES[objective]] = f"pretrain.objective.type {objective}"
    for group, field in asked.items():
        lacking = [token for token in GROUPS[group] if token.encode() not in held]
        if lacking and group not in recipe.tokenizer.reserve:
            yield (
                f"tokenizer.reserve: {field} needs {lacking[0]}, which {files[0]} does not have: add "
                f"{group} to tokenizer.reserve, and it is added to the imported vocabulary"
            )


def _pretrain(recipe: Recipe) -> Iterator[str]:
    """Whether the model that training starts from is the one that the recipe describes."""
    init = recipe.pretrain.init
    if init is None:
        return
    from llm.training.pretrain.step import check_shape

    try:
        check_shape(recipe.pretrain, Path(init))
    except BadInput as error:
        yield str(error)


def _finetune(recipe: Recipe) -> Iterator[str]:
    """Whether the first rows of each task's files can be read; a few bad ones may be left out."""
    from llm.corpus.sources.files import expand
    from llm.examples.bad_rows import BadRows
    from llm.examples.files import read_file

    for number, task in enumerate(recipe.finetune):
        if task.data.startswith("builtin:"):
            continue
        values = examples_of(task)
        for name, pattern in files_of(task).items():
            field = f"finetune.{number}.{'data' if name == 'files' else name}"
            bad = BadRows(task.bad_rows)
            try:
                for path in expand(pattern):
                    for _ in itertools.islice(read_file(path, values, bad=bad), _FIRST):
                        pass
                if not bad.good:
                    bad.check()
            except BadInput as error:
                yield f"{field}: {error}"


_LOOKS = {
    "clean": _clean,
    "tokenizer": _tokenizer,
    "pretrain": _pretrain,
    "finetune": _finetune,
}

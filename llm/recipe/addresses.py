"""Addresses in a recipe: what is no address, and logins, which must not stand in one.

What a recipe says goes into manifests, run records and the positions of documents, so a password in
an address would be in all of them.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from llm.corpus.sources.addresses import secret_in
from llm.recipe.messages import Problem

if TYPE_CHECKING:
    from llm.recipe import Recipe

BUILTIN_SEEDS = ("builtin:python-docs", "builtin:python-docs+packages")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def address_problems(recipe: "Recipe") -> Iterator[Problem]:
    """Seeds that are no address, and logins in the addresses of sources."""
    for name, source in recipe.crawl.sources.items():
        path = f"crawl.sources.{name}"
        if source.type == "web":
            for number, seed in enumerate(source.seeds):
                yield from _seed(f"{path}.seeds.{number}", seed)
            for field in ("include", "exclude"):
                for number, pattern in enumerate(getattr(source, field)):
                    yield from _pattern(f"{path}.{field}.{number}", pattern)
        for field in ("path", "list", "base", "dataset"):
            yield from _login(
                f"{path}.{field}", str(getattr(source, field, None) or ""), source.type
            )
    for number, task in enumerate(recipe.finetune):
        for field in ("data", "validation", "test"):
            yield from _only_files(f"finetune.{number}.{field}", getattr(task, field) or "")
    for name, one in recipe.clean.decontaminate.sets.items():
        yield from _only_files(f"clean.decontaminate.sets.{name}.path", one.path)
    for name, source in recipe.crawl.sources.items():
        if source.type in ("files", "hook") and source.path:
            yield from _only_files(f"crawl.sources.{name}.path", source.path)


def _seed(field: str, seed: str) -> Iterator[Problem]:
    from llm.corpus.web.urls import normalise

    if seed.startswith("builtin:"):
        if seed not in BUILTIN_SEEDS:
            yield Problem(
                (field,), f"{field}: there is no built-in site {seed!r}; there are {' and '.join(BUILTIN_SEEDS)}"
            )  # fmt: skip
        return
    found = list(_login(field, seed, "web"))
    yield from found
    if not found and normalise(seed) is None:
        yield Problem(
            (field,),
            f"{field}: {seed!r} is not a web address: write it like https://example.org/docs/, with a host "
            "that name servers can know (labels of letters, digits and -, 63 at most)",
        )


def _pattern(field: str, pattern: str) -> Iterator[Problem]:
    yield from _login(field, pattern, "web")
    start = pattern.partition("*")[0].lower()
    if not any(
        start.startswith(scheme) or scheme.startswith(start) for scheme in ("http://", "https://")
    ):
        yield Problem(
            (field,),
            f"{field}: {pattern!r} matches no address, as a pattern stands for a whole one: write it like "
            f"https://example.org/docs/* or */{pattern.lstrip('/')}",
        )


def _login(field: str, text: str, kind: str) -> Iterator[Problem]:
    said = secret_in(text)
    if said:
        way = (
            "take it out and send it with headers: {Authorization: 'Bearer env:SITE_TOKEN'}, which reads "
            "an environment variable"
            if kind in ("web", "warc")
            else "take it out, and fetch the file beforehand"
        )
        yield Problem(
            (field,),
            f"{field}: the address holds {said}, which would be written into every record of the run: {way}",
        )


def _only_files(field: str, text: str) -> Iterator[Problem]:
    if _ADDRESS.match(text) and not text.lower().startswith("file:"):
        yield Problem(
            (field,),
            f"{field}: an address is not read here, only files: download it and name the path",
        )

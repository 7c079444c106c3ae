"""Folders of documents, their signatures, and the search for duplicates among them."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa

from llm.corpus.dedup import DedupSettings, find_duplicates, signature_settings
from llm.corpus.documents import DOCUMENTS, EXTRACTED, document_id, write_table
from llm.corpus.near.signatures import sign
from llm.step import Context, StepResult


def prose(rng: random.Random, words: int) -> list[str]:
    return [f"w{rng.randrange(20_000)}" for _ in range(words)]


def edited(rng: random.Random, words: Sequence[str], edits: int) -> list[str]:
    result = list(words)
    for _ in range(edits):
        at = rng.randrange(len(result))
        match rng.randrange(3):
            case 0:
                result[at] = f"new{rng.randrange(10**6)}"
            case 1:
                del result[at]
            case _:
                result.insert(at, f"new{rng.randrange(10**6)}")
    return result


def identity(url: str, text: str) -> bytes:
    return document_id("s", url, text)


def write_documents(
    folder: Path, texts: Sequence[tuple[str, str]], schema: pa.Schema = EXTRACTED
) -> Path:
    """A shard of documents: (URL, text) each."""
    rows = [
        {"doc_id": identity(url, text), "url": url, "source": "s", "language": "en"}
        | {"language_score": 1.0, "licence": "", "opt_out": "", "text": text}
        for url, text in texts
    ]
    if schema is DOCUMENTS:
        rows = [row | {"split_key": 0} for row in rows]
    write_table(folder / "documents.parquet", pa.Table.from_pylist(rows, schema=schema))
    return folder


def signed(folder: Path, values: DedupSettings) -> Path:
    """The signatures of a folder of documents, made where they are missing."""
    settings = signature_settings(values)
    out = folder / f"signed-{settings.words}-{settings.bands}-{settings.rows}"
    if not out.exists():
        out.mkdir()
        sign(settings, {"documents": [folder]}, Context(out=out, work=folder))
    return out


def run(
    context: Context,
    name: str,
    folders: Sequence[Path],
    inputs: Mapping[str, Sequence[Path]] = MappingProxyType({}),
    **settings: object,
) -> StepResult:
    """Sign folders of documents and find duplicates into the context's folder of that name.

    inputs: folders of documents of `earlier` nights and `planted` ones, too.
    """
    out, work = context.out / name, context.work / name
    out.mkdir()
    work.mkdir()
    values = DedupSettings(**settings)  # type: ignore[arg-type]
    given = {"signatures": [signed(folder, values) for folder in folders], **inputs}
    for key in ("earlier", "planted"):
        if key in inputs:
            given[key] = [signed(folder, values) for folder in inputs[key]]
    return find_duplicates(values, given, replace(context, out=out, work=work))

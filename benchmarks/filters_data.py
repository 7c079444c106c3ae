"""Documents of web-like length for benchmarks/filters.py, half of them damaged as web pages are."""

import bz2
import gzip
import importlib.metadata
import json
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from llm.corpus.documents import EXTRACTED, document_id, write_table
from llm.corpus.extract import extract_text
from llm.corpus.reading.html import tidy
from llm.corpus.site import render
from llm.corpus.site.documentation import installed_packages, modules, standard_library

CHARACTERS = (400, 9000)  # of a document


def prepare(folder: Path, megabytes: float, shards: int, shared: Path) -> tuple[int, int]:
    """Write shards of documents, as extraction leaves them: (documents, bytes of text)."""
    texts: list[str] = []
    size = 0
    sources = [_pieces(source, number) for number, source in enumerate(_sources(shared))]
    while sources and size < 1e6 * megabytes:
        for source in list(sources):  # a few of each in turn, so that no kind crowds out another
            part = list(islice(source, 20))
            if not part:
                sources.remove(source)
            for text in part:
                number = len(texts)
                texts.append(damaged(text, number) if number % 2 else text)
                size += len(texts[-1].encode())
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    for shard in range(shards):
        own = order[shard::shards]
        _write(folder / f"{shard:05d}.parquet", {f"{at}": texts[at] for at in own})
    return len(texts), size


def _write(path: Path, texts: dict[str, str]) -> None:
    rows = [
        {
            "doc_id": document_id("benchmark", name, text),
            "url": name,
            "source": "benchmark",
            "language": "en",
            "language_score": 1.0,
            "licence": "",
            "opt_out": "",
            "text": text,
        }
        for name, text in texts.items()
    ]
    write_table(path, pa.Table.from_pylist(rows, schema=EXTRACTED))


def _sources(shared: Path) -> list[Iterator[str]]:
    found = [_documentation(), _descriptions()]
    if shared.is_dir():
        found += [_common_crawl(shared), _reviews(shared), _books(shared), _wikipedia(shared)]
    return found


def _pieces(texts: Iterator[str], seed: int) -> Iterator[str]:
    """Texts cut at line ends into documents of a random length."""
    rng = random.Random(seed)
    for text in texts:
        piece: list[str] = []
        held, wanted = 0, rng.uniform(*CHARACTERS)
        for line in tidy(text).split("\n"):
            piece.append(line)
            held += len(line) + 1
            if held >= wanted:
                yield "\n".join(piece).strip("\n")
                piece, held, wanted = [], 0, rng.uniform(*CHARACTERS)
        if held >= CHARACTERS[0]:
            yield "\n".join(piece).strip("\n")


def _common_crawl(shared: Path) -> Iterator[str]:
    for path in sorted((shared / "clean/dolma/multiple_files").glob("*.jsonl.gz")):
        for line in gzip.decompress(path.read_bytes()).splitlines():
            yield json.loads(line)["text"]


def _reviews(shared: Path) -> Iterator[str]:
    with zipfile.ZipFile(shared / "finetune/nltk/movie_reviews.zip") as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".txt"):
                yield _untokenized(archive.read(name).decode())


def _books(shared: Path) -> Iterator[str]:
    for name in ("1342-0.txt", "2600-0.txt"):
        text = (shared / "lm/gutenberg" / name).read_text(encoding="utf-8-sig")
        yield re.sub(r"(?<=\S)\n(?=\S)", " ", text.replace("\r", ""))


def _wikipedia(shared: Path) -> Iterator[str]:
    for name in ("wiki.valid.raw", "wiki.test.raw"):
        text = (shared / "lm/wikitext2raw" / name).read_text().replace(" @-@ ", "-")
        yield _untokenized(text.replace(" @,@ ", ",").replace(" @.@ ", "."))
    dump = bz2.decompress(next((shared / "lm/enwiki").glob("*.bz2")).read_bytes()).decode()
    for page in re.findall(r"<text[^>]*>(.*?)</text>", dump, re.DOTALL):
        page = re.sub(r"\{\{[^{}]*\}\}|&lt;ref.*?(/&gt;|&lt;/ref&gt;)", "", page, flags=re.DOTALL)
        yield re.sub(r"\[\[(?:[^\]|]*\|)?([^\]|]*)\]\]|'''?", r"\1", page)


def _untokenized(text: str) -> str:
    """Text whose punctuation stands apart, as it is written."""
    text = re.sub(r" +([.,;:!?)%]|'s|n't|'re|'ve|'ll|'d|'m)(?=\s)", r"\1", text)
    return re.sub(r"([(]) +", r"\1", text)


def _documentation() -> Iterator[str]:
    for module in modules([*standard_library(), *installed_packages()]):
        body = render.module_body(module, lambda name: None)
        yield extract_text(f"<html><body>{body}</body></html>")


def _descriptions() -> Iterator[str]:
    for found in sorted(importlib.metadata.distributions(), key=lambda one: one.name.lower()):
        yield found.metadata.get_payload() or ""


def damaged(text: str, number: int) -> str:
    """The text with one of the faults that filters look for, more or less of it."""
    rng = random.Random(number)
    return DAMAGES[number // 2 % len(DAMAGES)](text, rng)


def _repeat_lines(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(rng.randrange(1, 2 + len(lines))):
        lines.insert(rng.randrange(len(lines)), rng.choice(lines))
    return "\n".join(lines)


def _repeat_phrases(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    at, size = rng.randrange(len(words)), rng.randrange(2, 30)
    phrase = " ".join(words[at : at + size])
    for _ in range(rng.randrange(1, 4 + len(words) // (4 * size))):
        words.insert(rng.randrange(len(words)), phrase)
    return " ".join(words)


def _without_ends(text: str, rng: random.Random) -> str:
    share = rng.uniform(0.5, 1)
    lines = text.split("\n")
    return "\n".join(line.rstrip(".!?\"'") if rng.random() < share else line for line in lines)


def _torn(text: str, rng: random.Random) -> str:
    words, width = text.split(), rng.randrange(2, 12)
    return "\n".join(" ".join(words[at : at + width]) for at in range(0, len(words), width))


def _bullets(text: str, rng: random.Random) -> str:
    share = rng.uniform(0.7, 1)
    lines = [line for line in text.split("\n") if line.strip()]
    return "\n".join(f"- {line}" if rng.random() < share else line for line in lines)


def _symbols(text: str, rng: random.Random) -> str:
    share, mark = rng.uniform(0.02, 0.3), rng.choice(["#", "...", "…", "|", "***", "=>", "123"])
    return " ".join(f"{mark} {word}" if rng.random() < share else word for word in text.split(" "))


def _teasers(text: str, rng: random.Random) -> str:
    share, end = rng.uniform(0.1, 0.8), rng.choice(["...", "…"])
    lines = text.split("\n")
    return "\n".join(line.rstrip(".") + end if rng.random() < share else line for line in lines)


def _short(text: str, rng: random.Random) -> str:
    return " ".join(text.split(" ")[: rng.randrange(5, 110)])


def _code(text: str, rng: random.Random) -> str:
    lines = text.split("\n")
    for _ in range(rng.randrange(1, 4)):
        line = rng.choice(
            [
                "Please enable JavaScript in your browser to read on.",
                "if (ready) { show(page); } else { wait(10); }",
                "Use the braces { and } to group the items.",
                "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
                "This site uses cookies. See our privacy policy.",
            ]
        )
        lines.insert(rng.randrange(len(lines) + 1), line)
    return "\n".join(lines)


def _numbers(text: str, rng: random.Random) -> str:
    share = rng.uniform(0.05, 0.4)
    return " ".join(
        f"{rng.uniform(0, 1e4):.{rng.randrange(3)}f}" if rng.random() < share else word
        for word in text.split(" ")
    )


def _glued(text: str, rng: random.Random) -> str:
    share = rng.uniform(0.3, 1)
    return re.sub(" ", lambda space: "" if rng.random() < share else " ", text)


DAMAGES: tuple[Callable[[str, random.Random], str], ...] = (
    _repeat_lines,
    _repeat_phrases,
    _without_ends,
    _torn,
    _bullets,
    _symbols,
    _teasers,
    _short,
    _code,
    _numbers,
    _repeat_lines,
    _glued,
)

"""Text extraction against trafilatura: F1 and pages a second, one process, one core.

Without arguments: the pages of the shared WARC files (agreement only: nobody wrote down their
text), the reference pair, pages of the built-in site and generated article pages.

`--set FOLDER` (again for each further set) measures real pages with known text instead, in the
layout of article-extraction-benchmark:

    FOLDER/ground-truth.json            {id: {"articleBody": text, "url": address or none}}
    FOLDER/html/<id>.html.gz            the page as it was fetched; <id>.html does as well

Two definitions of F1: `f1` is the mean over pages of the F1 of word tokens, `f1_4gram` that of mean
precision and mean recall of runs of four words, as article-extraction-benchmark takes it. The last
line is JSON: both for every set, ours and trafilatura's in the same run, and the ratio of speeds.
"""

import argparse
import gzip
import json
import os
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SHARED = ROOT.parent / "shared" / "data"

import trafilatura  # noqa: E402
from fastwarc.warc import ArchiveIterator, WarcRecordType  # noqa: E402
from lxml import etree  # noqa: E402

from benchmarks.extraction_pages import pages as article_pages  # noqa: E402
from llm.corpus.reading.html import Unreadable, decode, read_html  # noqa: E402

PEER = f"trafilatura {trafilatura.__version__}"
_WORD = re.compile(r"\w+")


class Page(NamedTuple):
    """A page and its text as known, None where nobody knows it."""

    html: str
    url: str
    text: str | None


class Scores(NamedTuple):
    """Means over pages: precision, recall and F1 of word tokens, F1 of 4-grams over all pages."""

    precision: float
    recall: float
    f1: float
    shingles: float


def token_scores(found: str, expected: str) -> tuple[float, float, float]:
    """Precision, recall and F1 of one page's bag of word tokens."""
    ours, gold = Counter(_WORD.findall(found)), Counter(_WORD.findall(expected))
    shared = sum((ours & gold).values())
    if not gold:
        return (float(not ours),) * 3
    precision = shared / max(1, sum(ours.values()))
    recall = shared / sum(gold.values())
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def score(found: list[str], expected: list[str]) -> Scores:
    """Scores of many pages, as the two usual benchmarks take them."""
    tokens = [token_scores(*pair) for pair in zip(found, expected, strict=True)]
    precisions, recalls = [], []
    for ours, gold in zip(map(_shingles, found), map(_shingles, expected), strict=True):
        true = sum((ours & gold).values())
        false, missed = sum((ours - gold).values()), sum((gold - ours).values())
        # article-extraction-benchmark: shares of a page, then means over pages.
        precisions.append(true / (true + false) if true + false else 1.0)
        recalls.append(true / (true + missed) if true + missed else 1.0)
    precision, recall = statistics.fmean(precisions), statistics.fmean(recalls)
    return Scores(
        *(statistics.fmean(column) for column in zip(*tokens, strict=True)),
        2 * precision * recall / max(precision + recall, 1e-9),
    )


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text)
    if len(words) < 4:
        return Counter([tuple(words)] if words else [])
    return Counter(zip(words, words[1:], words[2:], words[3:], strict=False))


def ours(page: Page) -> tuple[str, str]:
    """The text and the engine that `auto` chose."""
    try:
        return read_html(page.html, page.url, "auto")
    except Unreadable:
        return "", ""


def resiliparse(page: Page) -> tuple[str, str]:
    """resiliparse's main content alone."""
    try:
        return read_html(page.html, page.url, "resiliparse")
    except Unreadable:
        return "", ""


def peer(page: Page) -> tuple[str, str]:
    """trafilatura as it comes, without comments."""
    return trafilatura.extract(page.html, include_comments=False) or "", "trafilatura"


ENGINES: dict[str, Callable[[Page], tuple[str, str]]] = {
    "ours": ours,
    PEER: peer,
    "resiliparse": resiliparse,
}


def prose() -> list[str]:
    """Paragraphs: of Python's own language reference, which every installation has."""
    from pydoc_data.topics import topics

    found = []
    for text in topics.values():
        for paragraph in text.split("\n\n"):
            line = " ".join(paragraph.split())
            if (
                120 < len(line) < 900
                and line[0].isupper()
                and line[-1] == "."
                and ">>>" not in line
            ):
                found.append(line)
    return found


def sentences(paragraphs: list[str]) -> list[str]:
    """Sentences of 40 to 160 characters."""
    parts = (part for text in paragraphs for part in re.split(r"(?<=[.])\s", text))
    return [part for part in parts if 40 < len(part) < 160 and part[0].isupper()]


def generated(each: int) -> list[Page]:
    """Known text in a dozen layouts; what surrounds it comes from other paragraphs."""
    paragraphs = prose()
    if (SHARED / "lm").is_dir():
        book = next((SHARED / "lm" / "gutenberg").glob("*.txt")).read_text()
        paragraphs = [" ".join(text.split()) for text in book.split("\n\n")]
        paragraphs = [text for text in paragraphs if 120 < len(text) < 900 and text[-1] in '.!?”"']
    half = len(paragraphs) // 2
    made = article_pages(paragraphs[:half], sentences(paragraphs[half:]), each)
    return [Page(html, f"http://{layout}.test/", text) for layout, html, text in made]


def built_in(count: int) -> list[Page]:
    """Pages of the built-in site: their text is all of <article> but the related links."""
    from llm.corpus.site.content import Site
    from llm.corpus.site.documentation import standard_library, topics

    site = Site(standard_library(), topics())
    paths = [*site.sources, *site.topics]
    chosen = []
    for path in paths[:: max(1, len(paths) // count)]:
        html = site.respond(path).body.decode()
        article = etree.fromstring(html, etree.HTMLParser()).find(".//article")
        for each in [*article.iter("aside"), *article.iter("ul")]:
            if each.tag == "aside" or each.get("class") == "index":
                each.getparent().remove(each)
        chosen.append(Page(html, path, "\n".join(article.itertext())))
    return chosen


def archived() -> list[Page]:
    """Every HTML page of the shared WARC files, once."""
    kinds = WarcRecordType.response | WarcRecordType.resource
    found: dict[str, Page] = {}
    for path in sorted((SHARED / "crawl").glob("*/*.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=kinds, auto_decode="all"):
                data = record.reader.read()
                headers = record.http_headers
                if headers is None or headers.status_code != 200 or len(data) < 500:
                    continue
                if "html" in (record.http_content_type or ""):
                    html = decode(data, record.http_charset)
                    found[html] = Page(html, record.headers.get("WARC-Target-URI", ""), None)
    return list(found.values())


def reference_pair() -> list[Page]:
    folder = SHARED / "clean" / "near_and_line_duplicates"
    expected = (folder / "moby_extracted.txt").read_text().partition("\n\n  • ")[0]
    return [Page((folder / "moby.html").read_text(), "", expected)]


def read_set(folder: Path) -> list[Page]:
    """Pages with known text in article-extraction-benchmark's layout."""
    pages = []
    for name, row in json.loads((folder / "ground-truth.json").read_text()).items():
        plain, packed = folder / "html" / f"{name}.html", folder / "html" / f"{name}.html.gz"
        data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
        pages.append(Page(decode(data, None), row.get("url") or "", row["articleBody"]))
    return pages


def measure(
    pages: list[Page], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[tuple[str, str]]]]:
    """Pages a second of processor time by engine and round, interleaved; and what each found."""
    speeds: dict[str, list[float]] = {name: [] for name in ENGINES}
    found: dict[str, list[tuple[str, str]]] = {}
    for page in pages[:20]:
        for engine in ENGINES.values():
            engine(page)  # caches are filled and patterns compiled before the clock starts
    for _ in range(rounds):
        for name, engine in ENGINES.items():
            start = time.process_time()
            found[name] = [engine(page) for page in pages]
            speeds[name].append(len(pages) / (time.process_time() - start))
    return speeds, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--set", type=Path, action="append", default=[], help="folder of real pages (repeatable)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="interleaved runs (3)")
    options = parser.parse_args()
    sets = {folder.name: read_set(folder) for folder in options.set}
    if not sets:
        if SHARED.is_dir():
            sets["archives"] = archived()
            sets["reference"] = reference_pair()
        sets["built-in"] = built_in(60)
        sets["generated"] = generated(5)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(
        f"{'set':<14} {'engine':<20} {'pages':>5} {'pages/s':>8} {'P':>6} {'R':>6} {'F1':>6} {'4-gram':>6}  by trafilatura"
    )
    speeds, scores = compare(sets, options.rounds)
    print(json.dumps(summary(sets, speeds, scores)))


Speeds = dict[str, dict[str, list[float]]]


def compare(
    sets: dict[str, list[Page]], rounds: int
) -> tuple[Speeds, dict[str, dict[str, Scores]]]:
    """Pages a second and scores by set and engine, printed as they are found."""
    speeds: Speeds = {}
    scores: dict[str, dict[str, Scores]] = {}
    for name, pages in sets.items():
        speeds[name], found = measure(pages, rounds)
        # Where nobody knows the text, the peer's is the measure: agreement, not truth.
        gold = [
            page.text if page.text is not None else found[PEER][n][0]
            for n, page in enumerate(pages)
        ]
        scores[name] = {}
        for engine, answers in found.items():
            scores[name][engine] = row = score([text for text, _ in answers], gold)
            share = (
                sum(by == "trafilatura" for _, by in answers) / len(pages)
                if engine == "ours"
                else None
            )
            print(
                f"{name:<14} {engine:<20} {len(pages):>5} {statistics.median(speeds[name][engine]):>8.1f} "
                f"{row.precision:>6.3f} {row.recall:>6.3f} {row.f1:>6.3f} {row.shingles:>6.3f}"
                + ("" if share is None else f"  {share:.1%}")
            )
    return speeds, scores


def summary(
    sets: dict[str, list[Page]], speeds: Speeds, scores: dict[str, dict[str, Scores]]
) -> dict[str, Any]:
    """Figures over all sets, ours and trafilatura's."""
    judged = [name for name in sets if name != "archives"]  # everything whose text is known
    timed = list(sets)
    rates = {
        engine: [
            sum(len(sets[name]) for name in timed)
            / sum(len(sets[name]) / speeds[name][engine][turn] for name in timed)
            for turn in range(len(speeds[timed[0]]["ours"]))
        ]
        for engine in ("ours", PEER)
    }
    total = sum(len(sets[name]) for name in judged)
    f1 = {
        engine: sum(scores[name][engine].f1 * len(sets[name]) for name in judged) / total
        for engine in ("ours", PEER)
    }
    ratios = [a / b for a, b in zip(rates["ours"], rates[PEER], strict=True)]
    return {
        "benchmark": "extraction",
        "unit": "pages/s",
        "ours": round(statistics.median(rates["ours"]), 1),
        "peers": {PEER: round(statistics.median(rates[PEER]), 1)},
        "ratio": round(statistics.median(ratios), 2),
        "f1": {engine: round(value, 4) for engine, value in f1.items()},
        "sets": {
            name: {
                "pages": len(sets[name]),
                "f1": {engine: round(scores[name][engine].f1, 4) for engine in f1},
                "f1_4gram": {engine: round(scores[name][engine].shingles, 4) for engine in f1},
                "pages_per_second": {
                    engine: round(statistics.median(speeds[name][engine]), 1) for engine in f1
                },
            }
            for name in judged
        },
    }


if __name__ == "__main__":
    main()

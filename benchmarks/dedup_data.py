"""Text with duplicates of known similarity, and how well each side of benchmarks/dedup.py did on it."""

import json
import random
import re
import zipfile
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from llm.corpus.documents import EXTRACTED, document_id, write_table
from llm.corpus.extract import extract_text
from llm.corpus.near.bands import BANDS, ROWS, chance
from llm.corpus.near.minhash import jaccard, shingles
from llm.corpus.near.planted import FEWEST_WORDS, MOST_WORDS, edit_to, split_up
from llm.corpus.near.recall import EDGES
from llm.corpus.site import render
from llm.corpus.site.documentation import installed_packages, modules, standard_library

Pair = frozenset[str]


def prepare(
    folder: Path, megabytes: float, shards: int, shared: Path
) -> tuple[dict[str, str], dict[Pair, float], int]:
    """Write documents into shards: (text by name, similarity by planted pair, bytes of text)."""
    texts: dict[str, str] = {}
    size = 0
    for name, text in real_texts(shared):
        if size >= 0.6e6 * megabytes:
            break
        texts[name] = text
        size += len(text.encode())
    pairs: dict[Pair, float] = {}
    origins = [split_up(b"", "en", text) for text in texts.values()]
    bands = list(pairwise(EDGES))
    for number, name in enumerate(list(texts)):
        if size >= 1e6 * megabytes:
            break
        origin, other = origins[number], origins[number - 1]
        if not FEWEST_WORDS <= origin.words <= MOST_WORDS or other.words < FEWEST_WORDS:
            continue
        low, high = bands[number % len(bands)]
        made = edit_to(origin, other, low, high, random.Random(number))
        if made is not None:
            edited = f"{made[0]}/{name}"
            texts[edited] = made[1]
            pairs[frozenset((edited, name))] = made[2]
            size += len(made[1].encode())
    order = list(texts)
    random.Random(0).shuffle(order)
    for number in range(shards):
        own = order[number::shards]
        write(folder / f"{number:05d}.parquet", {name: texts[name] for name in own})
    return texts, pairs, sum(len(text.encode()) for text in texts.values())


def write(path: Path, texts: Mapping[str, str]) -> None:
    """Documents as the extract step writes them, with a column more: their name."""
    rows = [
        {"doc_id": document_id("real", name, text), "url": name, "source": "real", "language": "en"}
        | {"language_score": 1.0, "licence": "", "opt_out": "", "text": text, "name": name}
        for name, text in texts.items()
    ]
    schema = EXTRACTED.append(pa.field("name", pa.string()))
    write_table(path, pa.Table.from_pylist(rows, schema=schema))


def real_texts(shared: Path) -> Iterator[tuple[str, str]]:
    """Documents of real prose: reviews, encyclopedia articles, stories, chapters; else documentation."""
    if shared.is_dir():
        with zipfile.ZipFile(shared / "finetune/nltk/movie_reviews.zip") as archive:
            for name in sorted(archive.namelist()):
                if name.endswith(".txt"):
                    yield f"reviews/{Path(name).name}", archive.read(name).decode()
        for name in ("wiki.valid.raw", "wiki.test.raw"):
            text = (shared / "lm/wikitext2raw" / name).read_text()
            for number, part in enumerate(re.split(r"\n (?== [^=])", text)):
                yield f"{name}/{number}", part
        for name in ("1342-0.txt", "2600-0.txt"):
            text = (shared / "lm/gutenberg" / name).read_text()
            for number, part in enumerate(re.split(r"\n(?=CHAPTER |Chapter )", text)):
                yield f"{name}/{number}", part
    for module in modules([*standard_library(), *installed_packages()]):
        text = extract_text(
            f"<html><body>{render.module_body(module, lambda name: None)}</body></html>"
        )
        yield f"docs/{module.name}", text


class Judged(NamedTuple):
    """What was found, for people and for the line of JSON."""

    table: str
    figures: dict[str, Any]


def judge(
    texts: Mapping[str, str],
    planted: Mapping[Pair, float],
    ours: Mapping[str, Any],
    peer: Mapping[str, Any],
    threshold: float,
) -> Judged:
    """Compare both by true similarity: a pair is dealt with where not both of it are kept."""
    assert sorted(ours["kept"] + ours["removed"]) == sorted(texts), "ours lost documents"
    assert sorted(peer["kept"] + peer["removed"]) == sorted(texts), "the peer lost documents"
    order = list(texts)
    sets = dict(zip(order, shingles([texts[name] for name in order], 5), strict=True))

    def alike(a: str, b: str) -> float:
        # Texts without words have no n-grams: two that are equal are alike all the same.
        return 1.0 if texts[a] == texts[b] else jaccard(sets[a], sets[b])

    ours_kept, peer_kept = set(ours["kept"]), set(peer["kept"])
    its_true = [
        (a, b)
        for cluster in peer["clusters"]
        for at, a in enumerate(cluster)
        for b in cluster[:at]
        if alike(a, b) >= threshold
    ]
    have = sum(not {a, b} <= ours_kept for a, b in its_true)
    justified = {name for pair in its_true for name in pair}
    peer_false = sum(name not in justified for name in peer["removed"])
    our_false = sum(alike(a, b) < threshold for a, b in ours["said"])
    lines, bands = _by_similarity(planted, ours_kept, peer_kept)
    share = have / len(its_true) if its_true else 1.0
    lines.append(
        f"removed: ours {len(ours['removed'])} ({our_false} false), "
        f"datatrove {len(peer['removed'])} ({peer_false} without a document of its cluster that "
        f"is {threshold} alike)"
    )
    lines.append(f"of its {len(its_true)} true pairs, ours deals with {share:.2%}")
    figures = {
        "share_of_peers_true": round(share, 4),
        "false": our_false,
        "peers_false": peer_false,
        "bands": bands,
    }
    return Judged("\n".join(lines), json.loads(json.dumps(figures)))


def _by_similarity(
    planted: Mapping[Pair, float], ours: set[str], peer: set[str]
) -> tuple[list[str], list[dict[str, float]]]:
    """Lines to print and figures: of the planted pairs of a similarity, how many each deals with."""
    lines = ["similarity    pairs  theory    ours  datatrove   (share of pairs not both kept)"]
    bands: list[dict[str, float]] = []
    for low, high in pairwise(EDGES):
        inside = [
            pair
            for pair, value in planted.items()
            if low <= value < high or value == high == EDGES[-1]
        ]
        if not inside:
            continue
        theory = sum(chance(planted[pair], BANDS, ROWS) for pair in inside) / len(inside)
        shares = [sum(not pair <= kept for pair in inside) / len(inside) for kept in (ours, peer)]
        lines.append(
            f"{low:.2f} to {high:.2f} {len(inside):7d} {theory:7.3f} {shares[0]:7.3f} {shares[1]:10.3f}"
        )
        bands.append({"from": low, "to": high, "pairs": len(inside), "theory": round(theory, 4)})
        bands[-1] |= {"ours": round(shares[0], 4), "peer": round(shares[1], 4)}
    return lines, bands

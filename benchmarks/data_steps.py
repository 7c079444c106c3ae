"""Reading pages, cleaning, learning a vocabulary and tokenizing, beside an earlier revision.

    python benchmarks/data_steps.py REVISION [--megabytes 2] [--rounds 8]

Checks the revision out into a temporary worktree and loads it beside this one, in one process. Both
do every page, shard and vocabulary in turn, in random order, and the least processor time of each
over the rounds counts: what else runs on a machine can only add to it. The earlier revision is loaded
twice: how far its two figures differ is noise. Checks that all make the same of everything. The last
line is JSON.
"""

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent.parent
SHARED = HERE.parent / "shared" / "data"
SHARDS, VOCABULARY = 4, 4096
SIDES = ("before", "before again", "now")

Work = Callable[[], Any]


class Side:
    """A revision's modules: those of the other revisions are put aside while it works."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self.modules: dict[str, ModuleType] = {}

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within it `import llm` is this revision's."""
        for name in [name for name in sys.modules if name.split(".")[0] == "llm"]:
            del sys.modules[name]
        sys.modules.update(self.modules)
        sys.path.insert(0, str(self.checkout))
        try:
            yield
        finally:
            sys.path.remove(str(self.checkout))
            own = {name: one for name, one in sys.modules.items() if name.split(".")[0] == "llm"}
            self.modules = own


def units(folder: Path) -> dict[str, list[Work]]:
    """What each step does, in pieces: a page, a shard, a vocabulary. All import `llm` when called."""
    sys.path[:0] = [str(HERE), str(HERE / "benchmarks")]
    import filters
    import text_to_shards

    def read(row: list[str]) -> Any:
        from llm.corpus.reading.html import Unreadable, read_html

        try:
            return read_html(row[0], row[1], "auto")
        except Unreadable:
            return None

    def clean(documents: Path) -> Any:
        with tempfile.TemporaryDirectory() as work:
            made = filters.run_ours(documents, Path(work))
            return made["kept"], made["why"]

    def learn(texts: list[str]) -> Any:
        from llm.tokens.bpe import train_bpe

        return train_bpe(texts, VOCABULARY, "gpt4").to_str()

    def tokenize(data: Path) -> Any:
        with tempfile.TemporaryDirectory() as work:
            text_to_shards.run_ours(data, Path(work))
            return list(text_to_shards.ids_ours(data, Path(work)))

    pages = json.loads((folder / "pages.json").read_text())
    texts = json.loads((folder / "learned.json").read_text())
    return {
        "reading": [lambda row=row: read(row) for row in pages],
        "cleaning": [lambda one=one: clean(one) for one in sorted(folder.glob("documents-*"))],
        "learning": [lambda: learn(texts)],
        "tokenizing": [lambda: tokenize(folder / "data")],
    }


def prepare(folder: Path, megabytes: float) -> None:
    """Pages, documents to clean, text to learn from, and shards with a tokenizer."""
    sys.path[:0] = [str(HERE), str(HERE / "benchmarks")]
    import filters_data
    import text_to_shards_data

    import benchmarks.extraction as extraction

    filters_data.prepare(folder / "documents", megabytes, SHARDS, SHARED)
    for number, path in enumerate(sorted((folder / "documents").glob("*.parquet"))):
        alone = folder / f"documents-{number}"
        alone.mkdir()
        path.rename(alone / path.name)
    text_to_shards_data.prepare(folder / "data", megabytes, SHARED, SHARDS, 2)
    texts, size = [], 0
    for text in text_to_shards_data.texts(SHARED):
        texts.append(text)
        size += len(text)
        if size > 1e6 * megabytes:
            break
    pages = extraction.built_in(60) + extraction.generated(8)
    (folder / "pages.json").write_text(json.dumps(pages))
    (folder / "learned.json").write_text(json.dumps(texts))


def measured(sides: dict[str, Side], works: list[Work], rounds: int, step: str) -> dict[str, float]:
    """Seconds of the processor that each side takes for a step, the least of each piece."""
    least = {name: [float("inf")] * len(works) for name in sides}
    for turn in range(rounds + 1):
        for number, work in enumerate(works):
            made = []
            for name in random.sample(list(sides), len(sides)):
                with sides[name].at_work():
                    begin = time.process_time()
                    made.append(work())
                    seconds = time.process_time() - begin
                if turn:  # the first compiles and imports
                    least[name][number] = min(least[name][number], seconds)
            if any(one != made[0] for one in made):
                sys.exit(f"{step}: the revisions make different results")
    return {name: sum(found) for name, found in least.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("revision")
    parser.add_argument("--megabytes", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    asked = parser.parse_args()
    result: dict[str, Any] = {"revision": asked.revision, "python": platform.python_version()}
    with tempfile.TemporaryDirectory() as aside:
        folder, checkout = Path(aside), Path(aside) / "before"
        maker = Side(HERE)
        with maker.at_work():
            prepare(folder, asked.megabytes)
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(checkout), asked.revision], check=True)
        try:
            sides = dict(zip(SIDES, (Side(checkout), Side(checkout), Side(HERE)), strict=True))
            print(f"{'step':<12}" + "".join(f"{name:>16}" for name in SIDES) + f"{'ratio':>8}")
            for step, works in units(folder).items():
                found = measured(sides, works, asked.rounds, step)
                ratio = found["before"] / found["now"]
                shown = "".join(f"{found[name]:>14.3f} s" for name in SIDES)
                print(f"{step:<12}{shown}{ratio:>8.2f}", flush=True)
                result[step] = {**found, "ratio": ratio}
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()

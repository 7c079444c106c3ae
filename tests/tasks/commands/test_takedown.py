"""What is purged is nowhere in the store any more, and does not come back."""

import gzip
import json
import random
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llm.corpus.archive.pages import Page, PageStore
from llm.corpus.documents import DOCUMENTS, read_table
from llm.corpus.erasure.takedown import Takedowns, change_list
from llm.runs import RunRecord
from llm.step import BadInput, Reporter
from llm.store import Store
from llm.store.rewriting import Rewriting
from llm.tokens.shards import Shard
from tasks.commands.local import run_locally
from tasks.commands.purge import purge
from tasks.commands.takedown import find, list_path, note_seen
from tasks.engine.home import PROJECT, Home
from tests.tasks.conftest import SMALL

MARKER = "zxqj secret words of nobody else"
SECRET = "http://deep.bad.test/secret"
OVERRIDES = tuple(item for item in SMALL if not item.startswith("crawl."))


def prose(seed: int, words: int = 150) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(3_000)}" for _ in range(words)) + "."


def rows() -> dict[str, str]:
    found = {f"http://good.test/{n}": prose(n) for n in range(24)}
    for n in range(4):
        found[f"{SECRET}-{n}"] = f"{prose(100 + n)} {MARKER} {n}. {prose(200 + n)}"
    found["http://bad.test/short"] = MARKER
    return found


def write_rows(path: Path, found: dict[str, str]) -> None:
    path.write_text("\n".join(json.dumps({"url": u, "text": t}) for u, t in found.items()))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its file and a home in which a model was trained on both."""
    folder = tmp_path_factory.mktemp("trained") / "now"
    folder.mkdir()
    write_rows(folder / "mine.jsonl", rows())
    learn(folder, run(folder, until="tokenize"))
    shutil.copytree(folder, folder.with_name("kept"))
    return folder


@pytest.fixture
def place(trained: Path) -> Path:
    """That folder, as it was then: at its own path, which is part of the recipe."""
    shutil.rmtree(trained)
    shutil.copytree(trained.with_name("kept"), trained)
    return trained


def run(folder: Path, *overrides: str, until: str = "clean") -> RunRecord:
    recipe = folder / "mine.yaml"
    recipe.write_text(
        f"extends: {PROJECT}/recipes/demo.yaml\nname: mine\n"
        f"crawl: {{sources: {{docs: null, mine: {{type: files, path: '{folder}/mine.jsonl'}}}}}}\n"
        "clean: {filters: {presets: []}}\n"
    )
    home = Home(folder / "home")
    settings = [*OVERRIDES, *overrides]
    return home.runs.load(run_locally(home, str(recipe), settings, until=until, report=Reporter()))


def learn(folder: Path, record: RunRecord) -> None:
    """A model that stands in for one trained on the run's token shards."""
    made, store = folder / "made", home_of(folder).store
    made.mkdir()
    (made / "weights").write_bytes(b"numbers")
    inputs = {
        "tokens": list((record.outputs("tokenize") or {})["tokens"].values()),
        "tokenizer": list((record.outputs("tokenizer") or {})["tokenizer"].values()),
    }
    manifest = {
        "step": "pretrain",
        "key": "cafe",
        "label": "",
        "content": None,
        "parts": {},
        "values": {},
        "contents": {name: [ref.content for ref in refs] for name, refs in inputs.items()},
        "inputs": {name: [ref.to_json() for ref in refs] for name, refs in inputs.items()},
        "made": {"at": time.time()},
    }
    reference = store.commit(made, manifest, "base").reference
    step = {"name": "pretrain", "reference": reference.to_json()}
    record.stages["pretrain"] = {"outputs": {}, "steps": [step]}
    home_of(folder).runs.save(record)


def home_of(folder: Path) -> Home:
    return Home(folder / "home")


def take_down(folder: Path, entry: str = "bad.test") -> None:
    change_list(list_path(home_of(folder)), lambda known: known.add(entry, "asked for", 1.0))


# A search that shares nothing with the project's own.


def contents(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield data
    if data.startswith(b"\x1f\x8b"):
        yield gzip.decompress(data)
    elif data.startswith(b"\x28\xb5\x2f\xfd"):
        yield zstandard.ZstdDecompressor().decompressobj().decompress(data)
    elif data.startswith(b"PAR1"):
        yield repr(pq.read_table(path).to_pydict()).encode()
    elif data.startswith(b"SQLite format 3"):
        for name, value in cells(path):
            yield name.encode() + (value if isinstance(value, bytes) else str(value).encode())
            if isinstance(value, bytes) and value.startswith(b"\x28\xb5\x2f\xfd"):
                yield zstandard.ZstdDecompressor().decompressobj().decompress(value)
    elif path.suffix == ".arrow":
        yield repr(pa.ipc.open_stream(data).read_all().drop_columns(["tokens"])).encode()


def cells(path: Path) -> Iterator[tuple[str, Any]]:
    database = sqlite3.connect(path)
    for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'"):
        for row in database.execute(f"SELECT * FROM {table}"):
            yield from ((table, value) for value in row)
    database.close()


def traces(folder: Path, words: str = MARKER) -> set[str]:
    """Where in the store the words stand, as far as a step's name."""
    store = folder / "home" / "store"
    return {
        "/".join(path.relative_to(store).parts[:2])
        for path in sorted(store.rglob("*"))
        if path.is_file() and any(words.encode() in data for data in contents(path))
    }


def corpus(folder: Path, record: RunRecord) -> set[str]:
    store = home_of(folder).store
    outputs = record.outputs("clean") or {}
    return {
        url
        for reference in outputs["documents"].values()
        for url in read_table(store.local(reference) / "documents.parquet", DOCUMENTS)[
            "url"
        ].to_pylist()
    }


def is_sound(store: Store) -> bool:
    return not any(store.verify(artifact) for artifact in store.artifacts())


def test_a_purge_leaves_no_trace_and_everything_else(place: Path) -> None:
    home = home_of(place)
    _leave_work_behind(home)
    assert {"artifacts/crawl", "artifacts/extract", "artifacts/write", "aside/x"} <= traces(place)
    assert {"work/crawl", "work/extract"} <= traces(place)
    take_down(place)
    told = purge(home)
    assert traces(place) == set()
    assert traces(place, "bad.test") == set()
    assert told.documents == 5 and is_sound(home.store)
    assert {name.split("/")[0] for name in told.removed} == {"tokenize", "plant"}
    noted = [one.manifest["erased"] for one in home.store.artifacts("extract")]
    assert [note["documents"] for notes in noted for note in notes] == [5]
    assert any(str(place / "mine.jsonl") in one for one in told.remains)
    # What was left is as it was, and the next run is sound.
    record = run(place)
    assert corpus(place, record) == {url for url in rows() if "good.test" in url}
    assert traces(place) == set() and is_sound(home.store)


def _leave_work_behind(home: Home) -> None:
    """An unfinished crawl and extraction, and a damaged artifact, all with the secret in them."""
    work = home.store.scratch / "work"
    frontier = PageStore(work / "crawl" / "k" / "work" / "frontier.sqlite")
    frontier.add(Page(SECRET, MARKER.encode() * 50))
    frontier.add(Page("http://good.test/unfinished", b"good"))
    frontier.close()
    for folder in (work / "extract" / "k" / "out", home.store.scratch / "aside" / "x"):
        folder.mkdir(parents=True)
        (folder / "half").write_text(MARKER)


def test_an_unfinished_crawl_goes_on_after_a_purge(place: Path) -> None:
    home = home_of(place)
    _leave_work_behind(home)
    take_down(place)
    purge(home)
    store = PageStore(home.store.scratch / "work" / "crawl" / "k" / "work" / "frontier.sqlite")
    assert store.totals()[0] == 1
    store.close()


def test_who_has_seen_it_is_told_and_kept(place: Path) -> None:
    home = home_of(place)
    take_down(place)
    take_down(place, "never.crawled.test")
    before = note_seen(home, find(home.store, Takedowns.load(list_path(home))))
    purge(home)
    after = Takedowns.load(list_path(home))
    for known in (before, after):
        seen = {one["step"]: one for one in known.entries[0].seen_by}
        assert set(seen) == {"tokenizer", "pretrain"}
        assert all(one["certain"] and one["at"] > 1e9 and one["runs"] for one in seen.values())
        assert known.entries[1].seen_by == ()
    assert all(one.purged_at for one in after.entries)
    # A later purge cannot tell any more who saw the rest, and says so.
    take_down(place, "http://good.test/3")
    purge(home)
    (third,) = [one for one in Takedowns.load(list_path(home)).entries if "good" in one.entry]
    told = {one["step"]: one["certain"] for one in third.seen_by}
    assert told == {"tokenizer": True, "pretrain": False}


def test_only_touched_shards_are_written_anew_and_a_purge_rebuilds_nothing_more(
    place: Path,
) -> None:
    split = "crawl.sources.mine.shard_bytes=3000"
    run(place, split)
    take_down(place, "http://bad.test/short")
    record = run(place, split)
    written = [step for step in record.stages["clean"]["steps"] if step["action"] == "run"]
    assert [step["step"] for step in written] == ["write"]
    purge(home_of(place))
    record = run(place, split)
    again = {step["step"] for step in record.stages["clean"]["steps"] if step["action"] == "run"}
    assert not again & {"extract", "signals", "write"}
    assert "http://bad.test/short" not in corpus(place, record)
    assert f"{SECRET}-1" in corpus(place, record)


def test_rules_can_change_after_a_purge(place: Path) -> None:
    take_down(place)
    purge(home_of(place))
    more = ("clean.filters.presets=[gopher_quality]", "clean.dedup.near.similarity=0.7")
    record = run(place, *more, "clean.filters.gopher_quality.min_stop_words=null")
    assert corpus(place, record) == {url for url in rows() if "good.test" in url}
    assert traces(place) == set()


def test_it_does_not_come_back_with_a_file_that_still_has_it(place: Path) -> None:
    take_down(place)
    purge(home_of(place))
    write_rows(place / "mine.jsonl", {**rows(), "http://good.test/new": prose(999)})
    record = run(place)
    assert "http://good.test/new" in corpus(place, record)
    assert traces(place) == set()


@pytest.mark.parametrize("kill_at", [0, 2, 4, 7])
def test_a_purge_killed_anywhere_is_finished_by_the_next(
    place: Path, kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_of(place)
    _leave_work_behind(home)
    take_down(place)
    done = 0

    class Killed(BaseException):
        pass

    def dying(function: Any) -> Any:
        def counted(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done > kill_at:
                raise Killed
            return function(*arguments, **options)

        return counted

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", dying(Store.remove))
        patch.setattr(Rewriting, "finish", dying(Rewriting.finish))
        with pytest.raises(Killed):
            purge(home)
    assert is_sound(home.store)
    purge(home)
    assert traces(place) == set() and is_sound(home.store)
    seen = Takedowns.load(list_path(home)).entries[0].seen_by
    assert {one["step"] for one in seen} == {"tokenizer", "pretrain"}


def test_what_stands_elsewhere_too_is_named(place: Path) -> None:
    home = home_of(place)
    copy = rows()[f"{SECRET}-1"]
    write_rows(place / "mine.jsonl", {**rows(), "http://good.test/copy": copy})
    run(place)
    take_down(place)
    told = purge(home)
    assert any(one.startswith("http://good.test/copy ") for one in told.remains)


def test_nothing_is_purged_while_a_run_goes_on(place: Path) -> None:
    home = home_of(place)
    take_down(place)
    with home.runs.alive(home.runs.all()[0].id), pytest.raises(BadInput, match="in progress"):
        purge(home)
    assert traces(place) != set()


def test_token_shards_hold_nothing_of_it_after_the_next_run(place: Path) -> None:
    home = home_of(place)
    take_down(place)
    known = set(find(home.store, Takedowns.load(list_path(home))).addresses)
    purge(home)
    run(place, until="tokenize")
    for artifact in home.store.artifacts("tokenize"):
        for path in home.store.local(artifact.reference).glob("*.arrow"):
            assert not known & set(Shard.open(path).documents.column("doc_id").to_pylist())


@pytest.mark.slow
def test_a_trained_model_and_what_it_wrote_are_told(trained: Path) -> None:
    folder = trained.with_name("whole")
    folder.mkdir()
    write_rows(folder / "mine.jsonl", rows())
    run(folder, until="evaluate")
    take_down(folder)
    purge(home_of(folder))
    (entry,) = Takedowns.load(list_path(home_of(folder))).entries
    assert {"tokenizer", "pretrain", "finetune", "perplexity"} <= {
        one["step"] for one in entry.seen_by
    }
    assert traces(folder) == set() and is_sound(home_of(folder).store)
    record = run(folder, until="evaluate")
    assert {url for url in rows() if "good.test" in url} == corpus(folder, record)

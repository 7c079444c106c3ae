"""A purge reaches all that the project keeps: by id and address, and by what quotes a text."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llm.corpus.archive.pages import Page
from llm.corpus.archive.warc import FAILURES
from llm.corpus.documents import DOC_ID
from llm.corpus.erasure.takedown import Takedowns, change_list
from llm.corpus.web.frontier import Frontier
from llm.corpus.web.recrawl import LEFT
from llm.machine import Machine
from llm.runs import RunRecord
from llm.step import BadInput, Reporter
from llm.store import Reference, Store
from llm.training.finetune.instruct import InstructSettings
from tasks.commands.cached import Told, keep_untold
from tasks.commands.purge import QUOTES, purge
from tasks.commands.takedown import find, list_path, note_seen
from tasks.commands.traces import INSTEAD
from tasks.engine.execute import make
from tasks.engine.home import PROJECT, Home
from tasks.stages.finetune import _data
from tests.examples import rows_of
from tests.llm.store.making import files

BAD, GOOD = "http://bad.test", "http://good.test"
PAGES = 600


def text(url: str) -> str:
    rng = random.Random(url)
    return " ".join(f"w{rng.randrange(10**6)}" for _ in range(60))


def doc_id(url: str) -> bytes:
    return hashlib.blake2b(url.encode(), digest_size=DOC_ID.byte_width).digest()


class Place:
    """A home with artifacts made by hand, as steps leave them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = Home(folder / "home")
        self.at = 1.0

    def put(
        self,
        step: str,
        files: Mapping[str, pa.Table | str],
        inputs: Mapping[str, list[Reference]] | None = None,
        summary: str = "",
    ) -> Reference:
        source = self.folder / uuid.uuid4().hex
        source.mkdir(parents=True)
        for name, made in files.items():
            if isinstance(made, str):
                (source / name).write_text(made)
            else:
                pq.write_table(made, source / name)
        read = inputs or {}
        self.at -= 0.001  # a clock that goes back with everything that is made
        manifest = {
            "step": step,
            "key": uuid.uuid4().hex,
            "label": "",
            "content": None,
            "parts": {},
            "values": {},
            "summary": summary,
            "contents": {name: [one.content for one in ones] for name, ones in read.items()},
            "inputs": {name: [one.to_json() for one in ones] for name, ones in read.items()},
            "made": {"at": self.at},
        }
        return self.home.store.commit(source, manifest, uuid.uuid4().hex).reference

    def documents(self, urls: list[str]) -> pa.Table:
        return pa.table(
            {
                "doc_id": pa.array([doc_id(url) for url in urls], DOC_ID),
                "url": urls,
                "text": [text(url) for url in urls],
            }
        )

    def take_down(self, entry: str = "bad.test") -> None:
        change_list(list_path(self.home), lambda known: known.add(entry, "asked for", 1.0))

    def record(self, message: str = "") -> RunRecord:
        record = RunRecord("r1", "mine", "s", {"policy": {}}, 1.0, message=message)
        record.outcome = "failed"
        self.home.runs.save(record)
        return record

    def named(self) -> set[str]:
        """Files of the home that have the host's name in them, but for the list itself."""
        files = [one for one in self.home.folder.rglob("*") if one.is_file()]
        return {
            str(one.relative_to(self.home.folder))
            for one in files
            if b"bad.test" in one.read_bytes() and one.name != "takedown.json"
        }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def extracted(place: Place) -> list[str]:
    """A crawl and an extraction of many pages of one domain, and one of another."""
    urls = [f"{BAD}/{n}" for n in range(PAGES)] + [f"{GOOD}/1"]
    place.put("crawl", {"index.parquet": pa.table({"url": urls})})
    place.put("extract", {"documents.parquet": place.documents(urls)})
    return urls


def test_of_many_pages_each_quotation_is_found(place: Place) -> None:
    urls = extracted(place)
    quoting = {
        place.put("samples", {"samples.json": json.dumps({"text": f"He wrote: {text(url)}."})}).key
        for url in urls[:PAGES:50]
    }
    other = place.put("report", {"report.html": f"<p>{text(urls[-1])}</p>"})
    place.take_down()
    told = purge(place.home)
    assert {name.partition("/")[2] for name in told.removed} == quoting
    assert place.home.store.find("report", other.key) is not None
    assert told.documents == PAGES and place.named() == set()


def test_records_logs_and_half_fetched_archives_are_reached(place: Place) -> None:
    urls = extracted(place)
    work = place.home.store.scratch / "work" / "crawl" / "k" / "work"
    frontier = Frontier(work)
    frontier.add(Page(f"{GOOD}/unfinished", b"good"))
    frontier.database.execute("INSERT INTO patterns VALUES ('bad.test/0', 3)")
    frontier.close()
    half = work / "00001.part"
    half.write_bytes(zstandard.compress(f"WARC-Target-URI: {BAD}/9".encode()))
    (work / "00001.part.json").write_text(json.dumps({"validator": BAD}))
    place.record(message=f"ConnectionError: {BAD}/7 breaks off; its text: {urls[0]}")
    call = {
        "name": "crawl",
        "summary": f"from {BAD}/8",
        "reference": Reference("s", "k", "c").to_json(),
    }
    place.home.runs.note("r1", call)
    for path in sorted((place.home.folder / "runs").glob("r1.*")):
        os.utime(path, (1.0, 1.0))  # long enough ago to be kept in what listings read
    assert BAD in place.home.runs.heads()[0].message
    assert "run-heads.sqlite" in place.named()
    told_later = Told("crawl", 1.0, tables=[{"example": f"{BAD}/6"}])
    keep_untold(place.home, "r1", [told_later], {"recipe": "mine"})
    logs = place.home.folder / "logs"
    logs.mkdir(parents=True)
    (logs / "server.log").write_text(f"GET {BAD}/3 failed\nall is well\nquoted: {text(urls[5])}\n")
    place.take_down()
    told = purge(place.home)
    assert place.named() == set()
    assert not half.exists() and (work / "frontier.sqlite").exists()
    record = place.home.runs.load("r1")
    assert record.message == f"ConnectionError: {INSTEAD} breaks off; its text: {INSTEAD}"
    assert [one["summary"] for one in record.calls] == [f"from {INSTEAD}"]
    assert (logs / "server.log").read_text().splitlines() == [
        f"GET {INSTEAD} failed",
        "all is well",
        INSTEAD,
    ]
    assert {str(logs / "server.log"), str(place.home.runs.path("r1"))} <= set(told.folders)


def test_what_a_crawl_left_for_the_next_night_and_says_of_failures_is_reached(place: Place) -> None:
    extracted(place)
    left = [f"{BAD}/later", f"{GOOD}/later"]
    rows = [{"url": url, "depth": 1, "written": url.upper(), "listed": True} for url in left]
    failures = [
        {"url": f"{GOOD}/1", "reason": "http_404"},
        {"url": f"{GOOD}/2", "reason": f"other_host: {BAD}/moved"},
        {"url": f"{GOOD}/3", "reason": "trap: 9 addresses like bad.test/a"},
        {"url": f"{BAD}/4", "reason": "http_500"},
    ]
    crawl = place.put(
        "crawl",
        {
            "left.parquet": pa.Table.from_pylist(rows, schema=LEFT),
            "failures.parquet": pa.Table.from_pylist(failures, schema=FAILURES),
        },
        summary=f"2 pages; 4 gave no page (http_500 1, such as {BAD}/4)",
    )
    quiet = place.put("extract", {"numbers.json": "[1]"}, summary=f"failed at {BAD}/5")
    place.take_down()
    told = purge(place.home)
    assert place.named() == set()
    found = place.home.store.find(crawl.step, crawl.key)
    assert found is not None
    assert found.manifest["summary"] == f"2 pages; 4 gave no page (http_500 1, such as {INSTEAD})"
    folder = place.home.store.local(crawl)
    assert pq.read_table(folder / "left.parquet").to_pylist() == rows[1:]
    assert pq.read_table(folder / "failures.parquet").to_pylist() == failures[:1]
    assert {f"crawl/{crawl.key}", f"extract/{quiet.key}"} <= set(told.rewritten)
    assert purge(place.home).rewritten == []


def test_a_purge_that_was_killed_goes_on_looking_for_what_it_had_erased(place: Place) -> None:
    urls = extracted(place)
    place.take_down()
    script = Path(__file__).with_name("purge_killed.py")
    command = [sys.executable, str(script), str(place.home.folder)]
    died = subprocess.run(command, cwd=PROJECT, env={"PYTHONPATH": str(PROJECT)}, check=False)
    assert died.returncode == -signal.SIGKILL
    (made,) = place.home.store.artifacts("extract")
    folder = place.home.store.local(made.reference)
    left = pq.read_table(folder / "documents.parquet")["text"].to_pylist()
    assert left == [""] * PAGES + [text(urls[-1])], "the texts are gone already"
    assert (place.home.folder / QUOTES).is_file()
    quoting = place.put("samples", {"samples.json": text(urls[7])})
    told = purge(place.home)
    assert told.removed == [f"samples/{quoting.key}"]
    assert not (place.home.folder / QUOTES).exists(), "complete: nothing is looked for any more"


def test_who_has_seen_it_follows_from_inputs_and_not_from_clocks(place: Place) -> None:
    urls = [f"{BAD}/1", f"{GOOD}/1"]
    place.put("extract", {"documents.parquet": place.documents(urls)})
    text_of = {
        url: place.put("write", {"documents.parquet": place.documents([url])}) for url in urls
    }
    models = {}
    for url in urls:
        # Each is made earlier than what it was made from, says the clock.
        tokenizer = place.put("tokenizer", {"t": url[7:]}, {"documents": [text_of[url]]})
        base = place.put("pretrain", {"m": url[7:]}, {"data": [text_of[url]]})
        tuned = place.put("finetune", {"m": url[7:], "x": ""}, {"model": [base]})
        other = place.put("finetune", {"m": url[7:], "y": ""}, {"tokenizer": [tokenizer]})
        models[url] = (tokenizer, base, tuned, other)
    place.take_down()
    home = place.home
    after = note_seen(home, find(home.store, Takedowns.load(list_path(home))))
    seen = {one["key"] for one in after.entries[0].seen_by if one["certain"]}
    assert seen == {one.key for one in models[urls[0]][:3]}


def question_run(place: Place) -> Callable[[], Any]:
    """The call that reads the user's own conversations, as the next run would make it."""
    data = place.folder / "mine.jsonl"
    rows = [
        {"prompt": f"What is {site}/{n}?", "response": text(f"{site}/{n}"), "url": f"{site}/{n}"}
        for n in range(20)
        for site in (BAD, GOOD)
    ]
    data.write_text("\n".join(map(json.dumps, rows)))
    recipe = SimpleNamespace(
        tokenize=SimpleNamespace(validation=SimpleNamespace(fraction=0.2)), name="mine"
    )

    def call() -> Any:
        entries = Takedowns.load(list_path(place.home)).entries
        machine = Machine(takedown=tuple(one.entry for one in entries))
        run: Any = SimpleNamespace(recipe=recipe, machine=machine)
        return _data(run, InstructSettings(name="mine", task="instruct", data=str(data)))

    return call


def conversations(store: Store, reference: Reference) -> list[str]:
    folder = store.local(reference)
    return [row["url"] for split in ("train", "validation") for row in rows_of(folder, split)]


def test_conversations_are_left_out_told_and_erased(place: Place) -> None:
    call, store = question_run(place), place.home.store
    made = make(store, call(), Machine(), Reporter())[0]
    assert made.manifest["counts"]["train"] + made.manifest["counts"]["validation"] == 40
    tuned = place.put("finetune", {"m": "weights"}, {"data": [made.reference]})
    sampled = place.put("samples", {"samples.json": json.dumps({"reference": text(f"{BAD}/3")})})
    place.take_down("unrelated.test")
    assert call().key == made.reference.key, "an entry that covers none of them makes nothing again"
    place.take_down()
    later = make(store, call(), Machine(), Reporter())[0]
    assert later.reference.key != made.reference.key
    assert later.manifest["counts"]["dropped"]["taken_down"] == 20
    assert all(url.startswith(GOOD) for url in conversations(store, later.reference))
    told = purge(place.home)
    assert told.removed == [f"samples/{sampled.key}"]
    assert all(url.startswith(GOOD) for url in conversations(store, made.reference))
    assert len(conversations(store, made.reference)) == 20
    assert not any(store.verify(one) for one in store.artifacts())
    (_, entry) = Takedowns.load(list_path(place.home)).entries
    assert {one["key"] for one in entry.seen_by} == {tuned.key}
    assert any("mine.jsonl" in one for one in told.remains)
    assert place.named() == set()


def test_on_an_object_store_what_was_set_aside_and_the_copies_go_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_STORE", f"memory://{uuid.uuid4().hex}")
    place = Place(tmp_path)
    extracted(place)
    store = place.home.store
    quoting = place.put("report", {"report.html": f"<p>{BAD}/1 {text(f'{BAD}/1')}</p>"})
    store.local(quoting)
    store.backend.remove("artifacts", "report", quoting.key)  # another machine's gc
    damaged = place.put("report", {"report.html": f"<p>{BAD}/2 {text(f'{BAD}/2')}</p>"})
    store.set_aside("report", damaged.key, "a test")
    assert place.named() and store.left_over()
    place.take_down()
    purge(place.home)
    assert place.named() == set()
    left = [
        one for one in files(store).find(store.path()) if b"bad.test" in files(store).cat_file(one)
    ]
    assert left == []


def test_nothing_is_purged_while_a_run_goes_on(
    place: Place,
) -> None:
    extracted(place)
    place.take_down()
    place.record()
    with place.home.runs.alive("r1"), pytest.raises(BadInput, match="a run is in progress"):
        purge(place.home)
    assert place.named() != set()

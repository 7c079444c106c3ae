"""Night after night: what is new joins, what was there stays as it was made, what must go goes."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from llm import fingerprint
from llm.corpus.documents import DECISIONS, DOCUMENTS, hash64, read_table
from llm.corpus.erasure.takedown import change_list
from llm.runs import RunRecord, collect, find_garbage
from llm.step import BadInput, Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home

Night = Callable[..., tuple[set[str], RunRecord]]


def prose(seed: int, words: int = 120) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(5_000)}" for _ in range(words)) + "."


@pytest.fixture
def nightly(tmp_path: Path) -> tuple[Home, Path]:
    """A home and a recipe that reads one file, mine.jsonl, every night."""
    recipe = tmp_path / "nightly.yaml"
    recipe.write_text(
        f"extends: {PROJECT}/recipes/nightly.yaml\nname: n\n"
        f"crawl: {{sources: {{docs: null, mine: {{type: files, path: '{tmp_path}/mine.jsonl'}}}}}}\n"
        "clean: {filters: {presets: []}}\n"
    )
    return Home(tmp_path / "home"), recipe


@pytest.fixture
def night(nightly: tuple[Home, Path], tmp_path: Path) -> Night:
    """Clean one night's rows; returns the names of the calls that ran, and the record."""
    home, recipe = nightly

    def run(
        day: int, rows: Mapping[str, str] | None, *overrides: str
    ) -> tuple[set[str], RunRecord]:
        if rows is not None:
            lines = [json.dumps({"url": f"http://a.test/{url}", "text": rows[url]}) for url in rows]
            (tmp_path / "mine.jsonl").write_text("\n".join(lines))
        run_id = run_locally(
            home,
            str(recipe),
            overrides,
            snapshot=f"2026-01-0{day}",
            until="clean",
            report=Reporter(),
        )
        record = home.runs.load(run_id)
        steps = [step for stage in record.stages.values() for step in stage["steps"]]
        return {step["name"] for step in steps if step["action"] == "run"}, record

    return run


def texts(home: Home, record: RunRecord) -> dict[str, str]:
    """The corpus after a run: text by page, whichever night it is from."""
    found: dict[str, str] = {}
    for reference in (record.outputs("clean") or {})["documents"].values():
        table = read_table(home.store.local(reference) / "documents.parquet", DOCUMENTS)
        for row in table.to_pylist():
            assert found.setdefault(row["url"], row["text"]) == row["text"]
    return {url.removeprefix("http://a.test/"): text for url, text in found.items()}


def reasons(home: Home, record: RunRecord, day: int) -> dict[str, str]:
    decided = (record.outputs("clean") or {})["decisions"][f"2026-01-0{day}"]
    files = sorted((home.store.local(decided) / "decisions").glob("*.parquet"))
    rows = [row for path in files for row in read_table(path, DECISIONS).to_pylist()]
    return {row["url"].removeprefix("http://a.test/"): row["reason"] for row in rows}


def test_a_night_adds_what_is_new_and_runs_nothing_of_the_nights_before(
    nightly: tuple[Home, Path], night: Night
) -> None:
    home = nightly[0]
    first = {"a": prose(1), "b": prose(2)}
    night(1, first)
    longer = first["a"] + " And some words more."
    second = {**first, "c": prose(3), "copy": first["b"], "near": longer}
    ran, record = night(2, second)
    assert not any("2026-01-01" in name for name in ran)
    assert reasons(home, record, 2) == {
        "a": "seen_before",
        "b": "seen_before",
        "c": "kept",
        "copy": "exact_duplicate",
        "near": "near_duplicate",
    }
    assert texts(home, record) == {**first, "c": prose(3)}
    assert night(2, None)[0] == set(), "the same night again"


def test_an_unchanged_source_adds_nothing(nightly: tuple[Home, Path], night: Night) -> None:
    first = {"a": prose(1), "b": prose(2)}
    before = night(1, first)[1].outputs("clean")
    ran, record = night(2, None)
    assert ran == set()
    assert (record.outputs("clean") or {})["documents"] == (before or {})["documents"]
    assert texts(nightly[0], night(3, {**first, "c": prose(3)})[1]) == {**first, "c": prose(3)}


def test_changed_code_and_settings_leave_earlier_nights_alone(
    nightly: tuple[Home, Path], night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    night(1, {"a": prose(1), "mail": prose(2) + " jane@doe.org"})
    code = tmp_path / "code"
    shutil.copytree(PROJECT / "llm", code / "llm")
    monkeypatch.setattr(fingerprint, "ROOT", code)
    path = code / "llm/corpus/extract.py"
    path.write_text(path.read_text() + "\nUNUSED = 1\n")
    ran, record = night(2, {"b": prose(3), "other": prose(4) + " jane@doe.org"}, "clean.pii=[]")
    assert not any("2026-01-01" in name for name in ran)
    found = texts(nightly[0], record)
    assert "<email>" in found["mail"] and "jane@doe.org" in found["other"]


def test_a_night_that_was_crawled_and_not_cleaned_is_caught_up(
    nightly: tuple[Home, Path], night: Night, tmp_path: Path
) -> None:
    home, recipe = nightly
    (tmp_path / "mine.jsonl").write_text(json.dumps({"url": "http://a.test/a", "text": prose(1)}))
    run_locally(home, str(recipe), snapshot="2026-01-01", until="crawl", report=Reporter())
    ran, record = night(2, {"a": prose(1), "b": prose(2)})
    assert "write 2026-01-01/mine-00000" in ran
    assert texts(home, record) == {"a": prose(1), "b": prose(2)}
    assert reasons(home, record, 2) == {"a": "seen_before", "b": "kept"}


def test_nights_alone_have_nothing_to_do_with_one_another(
    nightly: tuple[Home, Path], night: Night
) -> None:
    night(1, {"a": prose(1)})
    _, record = night(2, {"b": prose(2)}, "crawl.nights=alone", "pretrain.continual=null")
    assert texts(nightly[0], record) == {"b": prose(2)}


def test_what_changed_or_went_is_dropped_where_the_recipe_says_so(
    nightly: tuple[Home, Path], night: Night
) -> None:
    home = nightly[0]
    first = {"a": prose(1), "b": prose(2), "c": prose(3)}
    _, record = night(1, first)
    changed = first["b"] + " And now this too."
    second = {"a": first["a"], "b": changed}
    ran, record = night(2, second, "clean.outdated=drop")
    assert "write 2026-01-01/mine-00000" in ran
    assert texts(home, record) == second
    # Without it, the oldest stays.
    _, record = night(2, second)
    assert texts(home, record) == first


def test_what_was_taken_down_leaves_earlier_nights_and_never_comes_back(
    nightly: tuple[Home, Path], night: Night
) -> None:
    home = nightly[0]
    first = {"a": prose(1), "secret": prose(2)}
    night(1, first)
    change_list(
        home.folder / "takedown.json", lambda known: known.add("http://a.test/secret", "asked for")
    )
    ran, record = night(2, None)
    assert ran == {"write 2026-01-01/mine-00000"}
    assert texts(home, record) == {"a": prose(1)}
    _, record = night(3, {**first, "secret": prose(2) + " Anew.", "b": prose(4)})
    assert texts(home, record) == {"a": prose(1), "b": prose(4)}


def test_a_night_crawled_anew_is_cleaned_anew(nightly: tuple[Home, Path], night: Night) -> None:
    home, recipe = nightly
    night(1, {"a": prose(1)})
    night(2, {"a": prose(1), "b": prose(2)})
    more = {"a": prose(1), "b": prose(2), "c": prose(3)}
    lines = [json.dumps({"url": f"http://a.test/{url}", "text": more[url]}) for url in more]
    (recipe.parent / "mine.jsonl").write_text("\n".join(lines))
    run_locally(home, str(recipe), snapshot="2026-01-02", until="crawl", report=Reporter())
    assert texts(home, night(3, None)[1]) == more


def test_a_file_that_changes_back_brings_back_what_it_had(
    nightly: tuple[Home, Path], night: Night
) -> None:
    drop = "clean.outdated=drop"
    first = {"a": prose(1), "b": prose(2)}
    night(1, first, drop)
    assert texts(nightly[0], night(2, {"a": prose(1), "c": prose(3)}, drop)[1]).keys() == {"a", "c"}
    assert texts(nightly[0], night(3, first, drop)[1]) == first


def test_a_first_night_that_keeps_nothing_is_no_end(
    nightly: tuple[Home, Path], night: Night
) -> None:
    rules = "clean.filters={presets: [gopher_quality], gopher_quality: {min_stop_words: null}}"
    with pytest.raises(BadInput, match="min_words"):
        night(1, {"short": "Too short."}, rules)
    assert texts(nightly[0], night(2, {"a": prose(1)}, rules)[1]) == {"a": prose(1)}


def test_two_sources_of_one_file_stay_two(
    nightly: tuple[Home, Path], night: Night, tmp_path: Path
) -> None:
    twice = (
        f"crawl.sources.more={{type: files, path: '{tmp_path}/mine.jsonl'}}",
        "clean.dedup={exact: none, near: null}",
    )
    night(1, {"a": prose(1)}, *twice)
    _, record = night(2, {"a": prose(1), "b": prose(2)}, *twice)
    documents = (record.outputs("clean") or {})["documents"]
    counts = [
        nightly[0].store.read(ref.step, ref.key).manifest["counts"] for ref in documents.values()
    ]
    assert [one["documents"] for one in counts] == [1, 1, 1, 1]


def test_an_edited_page_stays_on_its_side_of_the_split(
    nightly: tuple[Home, Path], night: Night
) -> None:
    # Enough pages with a near-duplicate each that some change sides by their cluster's number.
    pairs = {}
    for at in range(30):
        words = prose(at, 150)
        pairs |= {f"{at}/long": words + " And an end of its own.", f"{at}/short": words}
    home = nightly[0]

    def sides(record: RunRecord) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for reference in (record.outputs("clean") or {})["documents"].values():
            table = read_table(home.store.local(reference) / "documents.parquet", DOCUMENTS)
            for row in table.to_pylist():
                found.setdefault(row["url"], []).append(row["split_key"])
        return found

    first = sides(night(1, pairs)[1])
    edited = {
        url: text + " " + prose(1000 + at, 120) for at, (url, text) in enumerate(pairs.items())
    }
    second = sides(night(2, edited)[1])
    assert any(hash64(url) != keys[0] for url, keys in first.items())
    both = [keys for url, keys in second.items() if url in first]
    assert len(both) == len(first) and all(len({*keys}) == 1 for keys in both)


def test_garbage_collection_leaves_what_an_erasure_needs(
    nightly: tuple[Home, Path], night: Night, tmp_path: Path
) -> None:
    home = nightly[0]
    (tmp_path / "items.jsonl").write_text(json.dumps({"question": prose(50, 30)}))
    cut = (
        f"clean.decontaminate={{action: cut, sets: {{quiz: {{path: '{tmp_path}/items.jsonl', "
        "fields: [question]}}}",
    )
    night(1, {"a": prose(1), "secret": prose(2)}, *cut)
    night(2, {"a": prose(1), "secret": prose(2), "b": prose(3)}, *cut)
    collect(home.store, home.runs, find_garbage(home.store, home.runs, keep_runs=1))
    change_list(home.folder / "takedown.json", lambda known: known.add("http://a.test/secret"))
    assert texts(home, night(3, None, *cut)[1]) == {"a": prose(1), "b": prose(3)}
    change_list(home.folder / "takedown.json", lambda known: known.remove("http://a.test/secret"))
    assert texts(home, night(4, None, *cut)[1]).keys() == {"a", "b", "secret"}


def test_a_snapshot_that_the_crawl_at_hand_is_not_of_is_refused(
    nightly: tuple[Home, Path], night: Night
) -> None:
    home, recipe = nightly
    night(1, {"a": prose(1)})
    night(2, {"a": prose(1), "b": prose(2)})
    for snapshot, said in (
        ("2026-01-01", "belongs to the snapshot 2026-01-02"),
        ("a/b", "letters"),
    ):
        with pytest.raises(BadInput, match=said):
            run_locally(home, str(recipe), snapshot=snapshot, from_stage="clean", until="clean")


class _Site(BaseHTTPRequestHandler):
    pages: Mapping[str, str]
    sent: list[str]

    def do_GET(self) -> None:
        name = self.path.strip("/")
        text = self.pages.get(name)
        if text is None:
            self.send_error(404)
            return
        links = "".join(f'<a href="/{one}">{one}</a>' for one in self.pages)
        body = (
            f"<html><body><main><h1>{name}</h1><p>{text}</p></main><nav>{links}</nav></body></html>"
        )
        tag = f'"{hash((name, text, links))}"'
        same = self.headers.get("If-None-Match") == tag
        self.send_response(304 if same else 200)
        self.send_header("ETag", tag)
        if not same:
            self.sent.append(name)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        if not same:
            self.wfile.write(body.encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[tuple[str, type[_Site]]]:
    """A loopback site whose pages a test sets: its address and its handler."""
    handler = type("Site", (_Site,), {"pages": {}, "sent": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", handler
    server.shutdown()
    server.server_close()


def test_a_site_is_crawled_again_for_what_changed_only(
    nightly: tuple[Home, Path], night: Night, site: tuple[str, type[_Site]]
) -> None:
    address, handler = site
    source = (
        "crawl.sources={docs: null, mine: null, site: {type: web, delay_seconds: 0, "
        f"seeds: ['{address}start']}}}}"
    )
    names = ("start", "one", "two", "three")
    handler.pages = {name: prose(at) for at, name in enumerate(names)}
    _, record = night(1, None, source)
    assert sorted(handler.sent) == sorted(names)
    handler.sent.clear()
    handler.pages = {**handler.pages, "two": prose(99)}
    ran, record = night(2, None, source, "clean.outdated=drop")
    assert handler.sent == ["two"], "only what changed is sent again"
    assert "crawl site" in ran
    found = texts(nightly[0], record)
    assert len(found) == 4 and prose(99) in found[f"{address}two"]
    summary = next(step["summary"] for step in record.stages["crawl"]["steps"])
    assert "1 changed" in summary and "3 unchanged" in summary

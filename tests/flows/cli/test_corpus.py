"""The commands that look into a corpus and erase from it, as they are typed."""

import json
import shutil
from pathlib import Path

import pytest

from llm.step import Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import Home
from tests.flows.cli.test_app import penstock


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the small demo has been crawled and cleaned."""
    made = Home(tmp_path_factory.mktemp("home"))
    run_locally(made, "demo", ["crawl.sources.docs.max_pages=30"], until="clean", report=Reporter())
    return made


def test_whatif_tells_what_a_threshold_would_do(home: Home) -> None:
    done = penstock(home, "whatif", "--set", "clean.filters.gopher_quality.min_words=1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [one["path"] for one in told["changes"]] == ["clean.filters.gopher_quality.min_words"]
    assert told["moved"]["out"]["documents"] == 0
    short = penstock(home, "whatif", "--set", "clean.gopher.min_words=1", "--json")
    assert json.loads(short.stdout) == told
    (snapshot,) = {record.snapshot for record in home.runs.all()}
    for arguments, said in (
        ("clean.filters.gopher_quality.min_word=1", "did you mean min_words?"),
        ("clean.gopher.min_word=1", "did you mean min_words?"),
        ("clean.pii=[]", "cannot be told without reading text"),
        ("clean.pii=[]", f"--snapshot {snapshot}"),
    ):
        done = penstock(home, "whatif", "--set", arguments)
        assert done.returncode == 2 and said in done.stderr


def test_browse_and_takedown_show_documents_and_take_them_away(home: Home, tmp_path: Path) -> None:
    shutil.copytree(home.folder, tmp_path / "home")
    home = Home(tmp_path / "home")
    done = penstock(home, "browse", "--kept", "--count", "1", "--json")
    assert done.returncode == 0, done.stderr
    (one,) = json.loads(done.stdout)["documents"]
    done = penstock(home, "takedown", "--url", one["url"], "--purge", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["purged"]["documents"] >= 1 and told["urls"] == [one["url"]]
    assert one["url"] not in penstock(home, "browse", "--count", "99").stdout
    shown = json.loads(penstock(home, "browse", "--kept", "--count", "99", "--json").stdout)
    tally = json.loads(penstock(home, "whatif", "--json").stdout)["before"]
    assert tally["kept"]["documents"] == len(shown["documents"])
    undone = penstock(home, "takedown", "--url", one["url"], "--undo")
    assert undone.returncode == 2 and "has been purged" in undone.stderr


def test_paths_and_addresses_are_printed_on_one_line_however_narrow_the_terminal(
    home: Home,
) -> None:
    browsed = penstock(home, "browse", "--kept", "--count", "1", columns=40)
    [one] = json.loads(penstock(home, "browse", "--kept", "--count", "1", "--json").stdout)[
        "documents"
    ]
    assert len(one["url"]) > 40 and one["url"] in browsed.stdout.splitlines()
    shown = penstock(home, "show", "crawl", columns=40)
    (crawl,) = (item for item in home.store.artifacts() if item.reference.step == "crawl")
    assert str(home.store.local(crawl.reference)) in shown.stdout

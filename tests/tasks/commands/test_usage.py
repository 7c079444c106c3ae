"""What lies on the disk is told by recipe: what recipes share counts for each, once as their own."""

from pathlib import Path

from llm.runs import RunRecord
from llm.store import Reference
from tasks.commands.usage import UNUSED, Usage, usage
from tasks.engine.home import Home


def put(home: Home, name: str, size: int) -> Reference:
    folder = home.store.scratch / f"out-{name}"
    folder.mkdir()
    (folder / "file").write_bytes(bytes(size))
    described = {"step": "write", "key": name * 64, "label": name, "content": None}
    return home.store.commit(folder, described, name * 64).reference


def test_shared_artifacts_count_for_each_recipe_and_the_rest_as_its_own(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    made = {name: put(home, name, size) for name, size in (("a", 100), ("b", 20), ("c", 3))}
    for number, (recipe, names) in enumerate((("one", "ab"), ("one", "a"), ("two", "a"))):
        run = f"r{number}"
        home.runs.save(RunRecord(run, recipe, "day", {}, float(number)))
        for name in names:
            home.runs.note(run, {"reference": made[name].to_json()})
    assert usage(home) == [
        Usage("one", artifacts=2, bytes=120, own_bytes=20),
        Usage("two", artifacts=1, bytes=100, own_bytes=0),
        Usage(UNUSED, artifacts=1, bytes=3, own_bytes=3),
    ]

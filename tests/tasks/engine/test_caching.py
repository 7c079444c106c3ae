"""What runs again, and what does not: the real demo recipe, made small, each time something changes.

The one rule: a step runs when its values, its code, its libraries or the content of its inputs
changed, and never otherwise.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from llm import fingerprint
from llm.step import BadInput
from llm.store import Reference
from tasks.engine.home import Home
from tasks.stages import clean

Go = Callable[..., tuple]


def edit(path: Path, old: str, new: str) -> None:
    """Change a file of the copied code."""
    text = path.read_text()
    assert old in text, f"{path} does not contain {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_the_same_recipe_twice_runs_nothing(go: Go) -> None:
    ran, record, _ = go()
    assert ran == set()
    assert record.outcome == "completed"
    assert all(stage["steps"] for stage in record.stages.values())


def test_a_field_of_evaluate_changed_runs_only_evaluate(go: Go) -> None:
    ran, record, _ = go("evaluate.samples.max_new_tokens=5")
    assert ran == {"samples base", "samples ask-docs", "report"}
    assert {name for name, stage in record.stages.items() if stage["ran"]} == {"evaluate"}


def test_an_input_changed_and_put_back_finds_the_old_artifact(go: Go) -> None:
    before = go()[1].stages["tokenizer"]["outputs"]
    ran, record, _ = go("tokenizer.vocabulary=450")
    assert {"tokenizer", "tokenize docs-00000", "pretrain"} <= ran
    assert not any(name.startswith(("crawl", "extract", "write")) for name in ran)
    assert record.stages["tokenizer"]["outputs"] != before
    ran, record, _ = go()
    # At most the comparison with the model that became champion in between is new.
    assert ran <= {"promote"}
    assert record.stages["tokenizer"]["outputs"] == before


def test_an_edited_helper_runs_the_stages_that_reach_it_and_no_other(go: Go, code: Path) -> None:
    edit(code / "corpus" / "pii.py", "def ", "UNUSED = 1\n\n\ndef ")
    ran, _, _ = go()
    # Written anew, byte-identical, so nothing after it runs: editing pii.py never retrains.
    assert ran == {"write docs-00000"}


def test_an_edited_comment_runs_nothing(go: Go, code: Path) -> None:
    for path in code.rglob("*.py"):
        if path.name != "__init__.py":
            path.write_text("# A comment.\n" + path.read_text() + "\n# Another.\n")
    assert go()[0] == set()


def test_a_new_version_of_a_library_runs_the_steps_that_name_it(
    go: Go, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = fingerprint.metadata.version
    monkeypatch.setattr(
        fingerprint.metadata,
        "version",
        lambda name: "99.0" if name == "tokenizers" else version(name),
    )
    ran, _, _ = go()
    assert "tokenizer" in ran
    assert not any(name.startswith(("crawl", "extract", "duplicates", "write")) for name in ran)
    assert "pretrain" not in ran, "the tokenizer came out the same"


def test_the_machine_is_no_part_of_any_key(go: Go) -> None:
    assert go(machine=["workers=1", "processes=1", "micro_batch=2"])[0] == set()


def test_how_often_a_checkpoint_is_written_makes_nothing_again(go: Go) -> None:
    ran, _, _ = go("pretrain.checkpoint_every=7", "pretrain.keep_last=3", "pretrain.keep_every=7")
    assert ran == set()


def test_a_task_s_new_name_tunes_nothing_again(go: Go) -> None:
    tuned = go()[1].stages["finetune"]["outputs"]["model"]
    ran, record, _ = go("finetune.0.name=renamed", "finetune.0.checkpoint_every=3")
    # Figures and texts bear the task's name.
    assert ran <= {"answers base", "answers renamed", "samples renamed", "report", "promote"}
    assert record.stages["finetune"]["outputs"]["model"] == {"renamed": next(iter(tuned.values()))}


def test_a_source_added_crawls_only_that_source(go: Go, tmp_path: Path) -> None:
    text = "A text about the history of the town and of the people who have lived there. " * 20
    (tmp_path / "mine.txt").write_text(text)
    source = f"crawl.sources.mine={{type: files, path: '{tmp_path}/mine.txt'}}"
    ran, _, _ = go(source, until="clean")
    assert "crawl mine" in ran and "extract mine-00000" in ran
    assert "crawl docs" not in ran and "extract docs-00000" not in ran


def test_a_changed_file_is_read_again(go: Go, tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    source = f"crawl.sources.mine={{type: files, path: '{path}'}}"
    path.write_text("One text.")
    assert go(source, until="crawl")[0] == {"crawl mine"}
    assert go(source, until="crawl")[0] == set()
    path.write_text("Other text.")
    assert go(source, until="crawl")[0] == {"crawl mine"}
    path.write_text("One text.")
    assert go(source, until="crawl")[0] == set()


def test_expensive_code_that_changed_is_kept_unattended_and_says_so(go: Go, code: Path) -> None:
    edit(code / "training" / "schedule.py", "\ndef decay", "\nUNUSED = 1\n\n\ndef decay")
    ran, record, said = go("policy.expensive_seconds=0")
    assert "pretrain" not in ran and "finetune ask-docs" not in ran
    actions = {step["name"]: step["action"] for step in record.stages["pretrain"]["steps"]}
    assert actions == {"pretrain": "kept"}
    assert any("KEEPS its artifact" in line and "schedule.py edited" in line for line in said)


def test_cheap_code_that_changed_runs_and_the_same_bytes_stop_there(go: Go, code: Path) -> None:
    edit(code / "training" / "pretrain" / "vocabulary.py", "\n\n\ndef ", "\nUNUSED = 1\n\n\ndef ")
    ran, _, _ = go("policy.expensive_seconds=100000")
    assert ran == {"pretrain"}, "the same bits come out, so nothing after runs"


def test_keep_keeps_a_stage_whose_code_changed(go: Go, code: Path) -> None:
    edit(code / "training" / "schedule.py", "\ndef decay", "\nUNUSED = 1\n\n\ndef decay")
    assert go(keep=["pretrain", "finetune"])[0] == set()


def test_force_runs_a_stage_and_the_same_content_stops_there(go: Go) -> None:
    assert go(force=["tokenizer"])[0] == {"tokenizer"}


@pytest.mark.parametrize("damage", ["deleted", "truncated"])
def test_a_damaged_artifact_runs_its_stage_again_and_only_it(
    go: Go, home: Home, damage: str
) -> None:
    record = home.runs.all()[0]
    reference = Reference.from_json(record.stages["tokenizer"]["outputs"]["tokenizer"]["all"])
    path = home.store.local(reference) / "tokenizer.json"
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    ran, _, _ = go()
    assert ran == {"tokenizer"}
    assert any((home.folder / "store" / "aside").iterdir())


def test_from_until_and_only_bound_a_run(go: Go) -> None:
    ran, record, _ = go("evaluate.samples.max_new_tokens=6", from_stage="evaluate")
    assert ran == {"samples base", "samples ask-docs", "report"}
    assert {s["action"] for s in record.stages["pretrain"]["steps"]} == {"taken"}
    ran, record, _ = go("tokenizer.vocabulary=420", until="tokenizer")
    assert ran == {"tokenizer"}
    assert "tokenize" not in record.stages
    # --only takes what came before from the newest run: the tokenizer of 420 tokens.
    ran, record, _ = go("tokenizer.vocabulary=400", only="tokenize")
    assert ran == {"tokenize docs-00000"}
    with pytest.raises(BadInput, match="with --from or --until"):
        go(only="clean", until="clean")
    with pytest.raises(BadInput, match="comes after"):
        go(from_stage="tokenize", until="clean")
    with pytest.raises(BadInput, match="no stage 'train'"):
        go(only="train")


def test_raising_tokens_goes_on_from_the_trunk(go: Go, home: Home) -> None:
    ran, record, _ = go("pretrain.tokens=8192")
    assert "pretrain" in ran
    extended = Reference.from_json(record.stages["pretrain"]["outputs"]["model"]["base"])
    seen = (home.store.local(extended) / "seen.jsonl").read_text().splitlines()
    assert len(seen) == 16
    _, record, _ = go("pretrain.tokens=8192", force=["pretrain"])
    scratch = Reference.from_json(record.stages["pretrain"]["outputs"]["model"]["base"])
    assert scratch.content == extended.content, "bit for bit what a run from scratch gives"


def test_what_comes_in_is_what_is_trained_on(go: Go, home: Home) -> None:
    _, record, _ = go()
    counts = {
        step["step"]: home.store.read(step["step"], step["reference"]["key"]).manifest["counts"]
        for stage in record.stages.values()
        for step in stage["steps"]
    }
    assert counts["decide"]["in"] == counts["decide"]["kept"] + sum(
        counts["decide"]["dropped"].values()
    )
    tokens = sum(source["tokens"] for source in counts["tokenize"]["train"].values())
    assert counts["pretrain"]["corpus_tokens"] == tokens


def test_an_artifact_whose_files_have_another_form_is_not_kept(
    home: Home, go: Go, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kept, later steps would read what is not there."""
    edit(code / "corpus" / "pii.py", "def ", "UNUSED = 1\n\n\ndef ")
    monkeypatch.setattr(clean, "WRITE", dataclasses.replace(clean.WRITE, form=2))
    ran, record, said = go(keep=["clean"], until="clean")
    assert ran == {"write docs-00000"} and not said
    manifest = home.store.read("write", record.stages["clean"]["steps"][-1]["reference"]["key"])
    assert manifest is not None and manifest.manifest["form"] == 2

"""Accepted artifacts stay in use over a refactoring, and what really differs is refused."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm.recipe import STAGES
from llm.runs import collect, find_garbage
from llm.step import BadInput
from llm.store import MANIFEST
from tasks.commands.accept import FINE, accept
from tasks.engine.home import Home
from tasks.engine.step import look_at_code_again
from tasks.stages import clean, evaluate, pretrain

Go = Callable[..., tuple]


def move(code: Path, old: str, new: str) -> None:
    """Move a module of the copied code, and import it from there everywhere."""
    source, target = (code.parent.joinpath(*name.split(".")) for name in (old, new))
    target.parent.mkdir(parents=True, exist_ok=True)
    source.with_suffix(".py").rename(target.with_suffix(".py"))
    (package, _, name), (place, _, called) = old.rpartition("."), new.rpartition(".")
    for path in code.rglob("*.py"):
        text = path.read_text()
        changed = re.sub(rf"\b{re.escape(old)}\b", new, text)
        changed = changed.replace(
            f"from {package} import {name}\n", f"from {place} import {called} as {name}\n"
        )
        if changed != text:
            path.write_text(changed)


@pytest.fixture
def refactored(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module is edited, some are moved, and a step's function has another name."""
    for path in code.rglob("*.py"):
        path.write_text(path.read_text() + "\n\nUNUSED_SINCE_THE_REFACTORING = 1\n")
    move(code, "llm.corpus.near.signatures", "llm.corpus.near.signing")
    move(code, "llm.training.pretrain.nights", "llm.training.phases.of_nights")
    move(code, "llm.step", "llm.steps")
    change(monkeypatch, clean, "SIGN", place="llm.corpus.near.signing:write_signatures")


def change(monkeypatch: pytest.MonkeyPatch, module: Any, step: str, **fields: Any) -> None:
    monkeypatch.setattr(module, step, dataclasses.replace(getattr(module, step), **fields))


def older_form(home: Home, step: str, edit: Callable[[dict[str, Any]], object]) -> None:
    """Have the artifacts of a step be recorded as code of another form had recorded them."""
    for path in (home.folder / "store" / "artifacts" / step).glob(f"*/{MANIFEST}"):
        manifest = json.loads(path.read_bytes())
        edit(manifest["values"])
        path.write_text(json.dumps({**manifest, "base": "of another form"}))
    shutil.rmtree(home.folder / "store" / "alike", ignore_errors=True)


def outcomes(told: Any) -> dict[str, str]:
    return {f"{one.stage} {one.call}": one.outcome for one in told}


def test_after_a_refactoring_all_stages_are_accepted_and_nothing_computes(
    home: Home,
    small: tuple[str, ...],
    go: Go,
    refactored: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = home.runs.load(home.runs.heads()[0].id)
    change(monkeypatch, clean, "EXTRACT", name="read-pages", formerly=("extract",))
    change(monkeypatch, evaluate, "REPORT", name="summary", formerly=("page", "report"))
    older_form(home, "pretrain", lambda values: values.update(threads_per_core=2))
    older_form(home, "tokenizer", lambda values: values["settings"].pop("imported"))
    for stage in STAGES:
        told = accept(home, "demo", [stage], small, writes=True)
        assert {one.outcome for one in told} <= set(FINE), (stage, told)
    ran, record, said = go()
    assert ran == set()
    assert not said, "nothing is kept with a warning: it is today's"
    for stage, result in record.stages.items():
        contents = [step["reference"]["content"] for step in result["steps"]]
        assert contents == [s["reference"]["content"] for s in before.stages[stage]["steps"]]


def test_what_is_accepted_says_where_it_comes_from_and_survives_garbage_collection(
    home: Home, small: tuple[str, ...], go: Go, code: Path
) -> None:
    old = set(home.store.names())
    for number in range(2):
        (code / "step.py").write_text((code / "step.py").read_text() + f"\nNEW = {number}\n")
        look_at_code_again()
        accept(home, "demo", ["all"], small, writes=True)
    assert go()[0] == set()
    garbage = find_garbage(home.store, home.runs, keep_runs=1)
    collect(home.store, home.runs, garbage)
    champion = home.runs.pointer("champion-demo")
    assert champion is not None
    pointed = {(one["step"], one["key"]) for one in champion["references"]}
    left = set(home.store.names())
    assert left & old <= pointed, "what older code made is gone, but for what a pointer names"
    ran, _, _ = go()
    assert ran == set()
    for artifact in home.store.artifacts():
        assert home.store.verify(artifact) == []
        if artifact.name not in old:
            first, second = artifact.manifest["accepted"]
            assert (first["step"], first["key"]) in old
            assert second["key"] not in (first["key"], artifact.manifest["key"])


def test_values_and_inputs_that_really_differ_are_refused_and_named(
    home: Home, small: tuple[str, ...], refactored: None
) -> None:
    sets = [*small, "pretrain.optimizer.weight_decay=0.25", "evaluate.samples.max_new_tokens=5"]
    there = home.store.names()
    told = accept(home, "demo", ["all"], sets, writes=False)
    found = outcomes(told)
    by_call = {one.call: one for one in told}
    assert home.store.names() == there, "only told"
    assert found["pretrain pretrain"] == "differs"
    assert any("optimizer.weight_decay" in why and "0.25" in why for why in by_call["pretrain"].why)
    assert found["finetune finetune ask-docs"] == "unknown"
    assert found["evaluate baseline uniform"] == "accepted"
    accept(home, "demo", ["all"], sets, writes=True)
    assert accept(home, "demo", ["tokenize"], sets, writes=False)[0].outcome == "cached"
    newest = home.runs.heads()[0]
    assert "tokenize" in newest.stages and "pretrain" not in newest.stages


def test_artifacts_whose_files_have_another_form_are_refused(
    home: Home, small: tuple[str, ...], go: Go, code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code / "step.py").write_text((code / "step.py").read_text() + "\nNEW = 1\n")
    monkeypatch.setattr(evaluate, "FORM", evaluate.FORM + 1)
    told = accept(home, "demo", ["evaluate"], small, writes=False)
    refused = [one for one in told if one.outcome == "differs"]
    assert {"perplexity base", "perplexity ask-docs"} <= {one.call for one in refused}
    assert all("form" in one.why[0] for one in refused)


def test_a_missing_stage_or_a_gap_between_stages_is_told(
    home: Home, small: tuple[str, ...]
) -> None:
    with pytest.raises(BadInput, match="follow each other"):
        accept(home, "demo", ["crawl", "tokenizer"], small, writes=True)
    with pytest.raises(BadInput, match="no stage 'crawling'"):
        accept(home, "demo", ["crawling"], small, writes=True)


def test_a_stage_that_was_never_run_says_so(tmp_path: Path, small: tuple[str, ...]) -> None:
    told = accept(Home(tmp_path), "demo", ["all"], small, writes=False)
    assert outcomes(told)["crawl crawl docs"] == "not made"
    assert {one.outcome for one in told} <= {"not made", "unknown"}
    assert pretrain.PRETRAIN.name in {one.call for one in told}

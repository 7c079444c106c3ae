"""What a recipe may ask of cleaning, all the way from the recipe to the documents that are written."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from llm.corpus.documents import DECISIONS, DOCUMENTS, read_table
from llm.runs import RunRecord
from llm.step import BadInput, Reporter
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home

Clean = Callable[..., "Cleaned"]


class Cleaned:
    """What came out: texts and reasons by page, and the record."""

    def __init__(self, home: Home, record: RunRecord) -> None:
        self.record = record
        outputs = record.outputs("clean") or {}
        self.texts: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        for reference in outputs["documents"].values():
            table = read_table(home.store.local(reference) / "documents.parquet", DOCUMENTS)
            for row in table.to_pylist():
                self.texts[row["url"].removeprefix("http://a.test/")] = row["text"]
        for reference in outputs["decisions"].values():
            for path in (home.store.local(reference) / "decisions").glob("*.parquet"):
                for row in read_table(path, DECISIONS).to_pylist():
                    self.reasons[row["url"].removeprefix("http://a.test/")] = row["reason"]
        steps = [step for stage in record.stages.values() for step in stage["steps"]]
        self.ran = {step["name"] for step in steps if step["action"] == "run"}


def prose(seed: int, words: int = 120) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(5_000)}" for _ in range(words)) + "."


@pytest.fixture
def cleaned(tmp_path: Path) -> Clean:
    """Clean rows of a file under some overrides."""
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        f"extends: {PROJECT}/recipes/demo.yaml\nname: mine\nsnapshot: once\n"
        f"crawl: {{sources: {{docs: null, mine: {{type: files, path: '{tmp_path}/mine.jsonl'}}}}}}\n"
        "clean: {filters: {presets: []}, planted: 0}\n"
    )
    home = Home(tmp_path / "home")

    def run(rows: dict[str, str], *overrides: str) -> Cleaned:
        lines = [json.dumps({"url": f"http://a.test/{url}", "text": rows[url]}) for url in rows]
        (tmp_path / "mine.jsonl").write_text("\n".join(lines))
        run_id = run_locally(home, str(recipe), overrides, until="clean", report=Reporter())
        return Cleaned(home, home.runs.load(run_id))

    return run


def test_evaluation_items_are_dropped_or_cut(cleaned: Clean, tmp_path: Path) -> None:
    question = prose(50, 30)
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"question": question}) + "\n")
    sets = f"clean.decontaminate.sets={{quiz: {{path: '{items}', fields: [question]}}}}"
    rows = {"clean": prose(1), "leak": prose(2) + "\n\n" + question + "\n\n" + prose(3)}
    dropped = cleaned(rows, sets)
    assert dropped.reasons == {"clean": "kept", "leak": "contaminated"}
    cut = cleaned(rows, sets, "clean.decontaminate.action=cut")
    assert cut.ran == {"evaluation-index", "contamination mine-00000", "decide", "write mine-00000"}
    assert cut.reasons == {"clean": "kept", "leak": "kept"}
    assert question not in cut.texts["leak"]
    assert cut.texts["leak"].startswith(prose(2)) and prose(3) in cut.texts["leak"]


def test_repeated_paragraphs_are_cut_from_what_is_written(cleaned: Clean) -> None:
    notice = "All pages of this site are the property of nobody in particular, and may be used."
    rows = {f"page{at}": f"{prose(at)}\n\n{notice}" for at in range(3)} | {"only": notice}
    done = cleaned(rows, "clean.passages={unit: paragraph, min_characters: 20}")
    assert sum(notice in text for text in done.texts.values()) == 1
    assert "only" not in done.texts, "of a page that is all repetition nothing is left"
    assert all(prose(at) in done.texts[f"page{at}"] for at in range(3))


def test_filters_of_the_users_own_decide_and_their_limits_re_read_nothing(
    cleaned: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = tmp_path / "own_filters.py"
    module.write_text(
        "def length(texts, urls):\n    return [len(text.split()) for text in texts]\n"
    )
    rows = {"short": prose(1, 60), "long": prose(2, 200)}
    hook = "clean.hooks={long_enough: {function: 'own_filters:length', min: %d}}"
    assert cleaned(rows, hook % 100).reasons == {"short": "hook.long_enough", "long": "kept"}
    again = cleaned(rows, hook % 10)
    assert again.reasons == {"short": "kept", "long": "kept"}
    assert again.ran == {"decide", "write mine-00000"}
    module.write_text("def length(texts, urls):\n    return [5 for text in texts]\n")
    with pytest.raises(
        BadInput, match=r"hook\.long_enough dropped most.*clean\.hooks\.long_enough"
    ):
        cleaned(rows, hook % 10)


def test_one_document_an_address_where_the_recipe_says_so(cleaned: Clean, tmp_path: Path) -> None:
    lines = [
        {"url": "http://a.test/a", "text": prose(1, 50)},
        {"url": "http://a.test/a", "text": prose(2, 90)},
        {"url": "http://a.test/b", "text": prose(3, 70)},
    ]
    (tmp_path / "two.jsonl").write_text("\n".join(map(json.dumps, lines)))
    two = f"crawl.sources.mine.path={tmp_path}/two.jsonl"
    assert len(cleaned({}, two).ran) > 0
    done = cleaned({}, two, "clean.dedup.url=true")
    assert sorted(done.texts) == ["a", "b"] and done.texts["a"] == prose(2, 90)


def test_more_kinds_of_personal_data_are_masked_and_counted(cleaned: Clean) -> None:
    text = prose(1) + " Call +1 650 253 0000, or pay with 4111 1111 1111 1111."
    done = cleaned({"a": text}, "clean.pii=[email, phone, credit_card]")
    assert "<phone>" in done.texts["a"] and "<credit_card>" in done.texts["a"]
    assert cleaned({"a": text}, "clean.pii=[]").texts["a"] == text

"""What a stage's row says."""

from typing import Any

from flows.summary import stage_row


def step(name: str, summary: str) -> dict[str, Any]:
    return {"name": name, "step": name.partition(" ")[0], "action": "run", "summary": summary}


def test_a_stage_says_what_came_out_and_how_well_duplicates_were_found() -> None:
    steps = [
        step("duplicates", "3 near-duplicates of 9; planted: 97 % of 128 found, none wrongly"),
        step("decide", "6 of 9 documents kept"),
        step("write docs-00000", "6 documents"),
    ]
    row = stage_row("clean", {"steps": steps, "ran": 3, "seconds": 1.0})
    assert row["out"] == (
        "6 documents; 3 near-duplicates of 9; planted: 97 % of 128 found, none wrongly"
    )
    assert (
        stage_row("clean", {"steps": steps[:1], "ran": 1, "seconds": 1.0})["out"]
        == (steps[0]["summary"])
    )
    assert stage_row("clean", {"steps": [], "ran": 0, "seconds": 0.0})["out"] == ""


def test_a_stage_of_several_shards_says_what_they_make_together() -> None:
    def row(stage: str, calls: list[str], counts: dict[str, Any]) -> str:
        steps = [step(name, "1 documents") for name in calls]
        result = {"steps": steps, "ran": 0, "seconds": 1.0, "counts": {steps[0]["step"]: counts}}
        return str(stage_row(stage, result)["out"])

    shards = ["write docs-00000", "write docs-00001"]
    assert row("clean", shards, {"documents": 356, "bytes": 1_234_567}) == "356 documents, 1.23 MB"
    assert row("clean", shards, {"documents": 1, "bytes": 0}) == "1 document, 0.00 MB"
    sources = ["crawl docs", "crawl mine"]
    assert row("crawl", sources, {"pages": 372, "bytes": 5_000_000}) == "372 pages, 5.0 MB"
    counts = {"tokens": 30, "train": {}, "validation": {"docs": {"tokens": 5}, "b": {"tokens": 1}}}
    tokens = "24 tokens for training, 6 for validation"
    assert row("tokenize", ["tokenize docs-00000", "tokenize docs-00001"], counts) == tokens


def test_calls_whose_counts_do_not_add_up_are_told_one_by_one() -> None:
    steps = [step("finetune ask", "10 steps, loss 2"), step("finetune sum", "20 steps, loss 3")]
    row = stage_row("finetune", {"steps": steps, "ran": 2, "seconds": 1.0, "counts": {}})
    assert row["out"] == "ask: 10 steps, loss 2; sum: 20 steps, loss 3"

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

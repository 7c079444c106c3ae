"""An encoder and an encoder-decoder go the whole way: pretrained, measured, promoted."""

import json
from pathlib import Path

import pytest

from flows.cli import main
from llm.step import Reporter
from llm.store import Reference
from tasks.commands.local import run_locally
from tasks.engine.home import Home

ENCODER = (
    "tokenizer.reserve=[chat, masking]",
    "pretrain.model.preset=bert",
    "pretrain.objective.type=masked_next_sentence",
    "finetune=[]",
)
ENCODER_DECODER = (
    "tokenizer.reserve=[chat, spans]",
    "pretrain.model.architecture=encoder_decoder",
    "pretrain.objective.type=span_corruption",
)


def test_labels_and_values_go_the_whole_way(
    home: Home, small: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"text": f"{word} number {number}", "label": word, "score": float(number % 7)}
        for number in range(120)
        for word in ("pear", "axe")
    ]
    for name, part in (("train", rows[:200]), ("test", rows[200:])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, part)))
    task = (
        f"data: {tmp_path}/train.jsonl, test: {tmp_path}/test.jsonl, epochs: 2, batch_tokens: 256"
    )
    kept = [one for one in small if not one.startswith("finetune")]
    tasks = f"{{name: kind, task: classify, {task}}}, {{name: size, task: regress, {task}}}"
    overrides = [*kept, f"finetune=[{tasks}]", "promote.metric=labels.kind.accuracy"]
    run_id = run_locally(home, "demo", overrides, report=Reporter(), from_stage="finetune")
    record = home.runs.load(run_id)
    outputs = record.stages["evaluate"]["outputs"]
    measured = {name: set(models) for name, models in outputs.items() if models}
    assert measured["labels"] == {"kind"}
    assert measured["values"] == {"size"}
    assert measured["perplexity"] == {"base"}, "models that say labels write no text"
    report = home.store.local(Reference.from_json(outputs["report"]["all"]))
    figures = json.loads((report / "metrics.json").read_text())
    assert 0 <= figures["labels.kind.accuracy"] <= 1
    assert figures["values.size.mean_error"] > 0
    pointer = home.runs.pointer("champion-demo")
    assert pointer is not None
    assert pointer["metric"] == "labels.kind.accuracy"
    folder = home.store.local(Reference.from_json(pointer["tuned"][0]["model"])) / "model"
    with pytest.raises(SystemExit) as left:
        main(["predict", "--model", str(folder), "pear number 3"])
    assert not left.value.code
    said = json.loads(capsys.readouterr().out)
    assert said["label"] in ("pear", "axe")
    assert sum(said["probabilities"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("chosen", [ENCODER, ENCODER_DECODER], ids=["encoder", "encoder_decoder"])
def test_a_model_that_fills_in_is_measured_and_promoted(
    chosen: tuple[str, ...], home: Home, small: tuple[str, ...]
) -> None:
    # The encoder-decoder learns the demo's answers, too.
    tuned = "finetune=[]" not in chosen
    kept = [one for one in small if tuned or not one.startswith("finetune")]
    kept += ["pretrain.packing=concat", "pretrain.document_mask=false"]
    kept += ["promote.metric=null", 'evaluate.samples.prompts=["The ___ of a ___.", "If"]']
    run_id = run_locally(home, "demo", [*kept, *chosen], report=Reporter(), from_stage="tokenizer")
    record = home.runs.load(run_id)
    outputs = record.stages["evaluate"]["outputs"]
    measured = {name for name, models in outputs.items() if models}
    assert measured == {"infilling", "samples", "report"} | ({"answers"} if tuned else set())
    report = home.store.local(Reference.from_json(outputs["report"]["all"]))
    figures = json.loads((report / "metrics.json").read_text())
    assert 1 < figures["infilling.base.nats_per_token"] < 7  # of 400 tokens, ln 400 is 6
    page = (report / "report.html").read_text()
    assert ("answers.ask-docs.nats_per_token" in figures) == tuned
    assert ("Right answer" in page) == tuned
    for words in ("Filling in", "Filled in", "If___"):
        assert words in page
    # The champion was a decoder, which infilling cannot measure: there is nothing to be better than.
    pointer = home.runs.pointer("champion-demo")
    assert pointer is not None
    assert pointer["metric"] == "infilling.base.bits_per_byte"
    assert pointer["base"] == record.stages["pretrain"]["outputs"]["model"]["base"]

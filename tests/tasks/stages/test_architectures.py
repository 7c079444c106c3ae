"""An encoder and an encoder-decoder go the whole way: pretrained, measured, promoted."""

import json

import pytest

from llm.step import Reporter
from llm.store import Reference
from tasks.commands.local import run_locally
from tasks.engine.home import Home

ENCODER = (
    "tokenizer.reserve=[chat, masking]",
    "pretrain.model.preset=bert",
    "pretrain.objective.type=masked_next_sentence",
)
ENCODER_DECODER = (
    "tokenizer.reserve=[chat, spans]",
    "pretrain.model.architecture=encoder_decoder",
    "pretrain.objective.type=span_corruption",
)


@pytest.mark.parametrize("chosen", [ENCODER, ENCODER_DECODER], ids=["encoder", "encoder_decoder"])
def test_a_model_that_fills_in_is_measured_and_promoted(
    chosen: tuple[str, ...], home: Home, small: tuple[str, ...]
) -> None:
    kept = [one for one in small if not one.startswith("finetune")]
    kept += ["finetune=[]", "pretrain.packing=concat", "pretrain.document_mask=false"]
    kept += ["promote.metric=null", 'evaluate.samples.prompts=["The ___ of a ___.", "If"]']
    run_id = run_locally(home, "demo", [*kept, *chosen], report=Reporter(), from_stage="tokenizer")
    record = home.runs.load(run_id)
    outputs = record.stages["evaluate"]["outputs"]
    measured = {name for name, models in outputs.items() if models}
    assert measured == {"infilling", "samples", "report"}
    report = home.store.local(Reference.from_json(outputs["report"]["all"]))
    figures = json.loads((report / "metrics.json").read_text())
    assert 1 < figures["infilling.base.nats_per_token"] < 7  # of 400 tokens, ln 400 is 6
    page = (report / "report.html").read_text()
    for words in ("Filling in", "Filled in", "If___"):
        assert words in page
    # The champion was a decoder, which infilling cannot measure: there is nothing to be better than.
    pointer = home.runs.pointer("champion-demo")
    assert pointer is not None
    assert pointer["metric"] == "infilling.base.bits_per_byte"
    assert pointer["base"] == record.stages["pretrain"]["outputs"]["model"]["base"]

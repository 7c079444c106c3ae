"""The report: everything inside one page, equal bytes for equal inputs, whatever is missing."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from llm.evaluation.report.plots import running_mean
from llm.evaluation.report.report import write
from llm.evaluation.report.settings import ReportValues
from llm.evaluation.result import rows
from llm.evaluation.result import write as write_result
from llm.evaluation.suite import BITS_PER_BYTE
from llm.models import folder as model_folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.step import BadInput, Context
from tests.llm.evaluation.models import write_tokenizer
from tests.llm.evaluation.report.artifacts import BYTES, TITLES, bits, everything, put, result


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw with few dots: what is drawn stays the same, and the tests are fast."""
    monkeypatch.setattr("llm.evaluation.report.plots.RESOLUTION", 50)


def values_of(finetuned: tuple[str, ...] = ("ask-docs",), **more: object) -> ReportValues:
    suites = ("perplexity", "answers", "samples")
    models = ("base", *finetuned)
    return ReportValues(title="demo", models=models, suites=suites, baselines=TITLES, **more)


def report(
    folder: Path, inputs: dict[str, list[Path]], finetuned: tuple[str, ...] = ("ask-docs",)
) -> str:
    folder.mkdir()
    write(values_of(finetuned), inputs, Context(out=folder, work=folder))
    return (folder / "report.html").read_text()


class Balance(HTMLParser):
    """Counts tags that are open at the end, and addresses of other files."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.headings: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.outside += [
            value
            for name, value in attrs
            if name in ("src", "href") and value and not value.startswith("data:")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def parsed(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.outside == []
    return parser


def test_one_page_holds_every_section_and_needs_no_other_file(tmp_path: Path) -> None:
    page = report(tmp_path / "out", everything(tmp_path))
    assert parsed(page).headings == [
        "Bits per byte",
        "Answers: ask-docs",
        "Pretraining loss",
        "Fine-tuning: ask-docs",
        "Corpus funnel",
        "Search for near-duplicates",
        "Search for evaluation items",
        "Tokens per source",
        "Samples",
        "Rows of ask-docs",
        "How it was measured",
        "Provenance",
    ]
    for figure in ("2.110", "2.460", "4.710", "2.840", "near_duplicate", "700,000", "95.3 %"):
        assert figure in page


def test_figures_have_flat_names(tmp_path: Path) -> None:
    report(tmp_path / "out", everything(tmp_path))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["perplexity.base.bits_per_byte"] == pytest.approx(2.11)
    assert metrics["perplexity.base.bits_per_byte.docs"] == pytest.approx(2.11)
    assert metrics["perplexity.ask-docs.bits_per_byte"] == pytest.approx(2.37)
    assert metrics["baselines.bigram.bits_per_byte"] == pytest.approx(3.41)
    assert metrics["answers.ask-docs.nats_per_token"] == pytest.approx(2.84)
    assert metrics["answers.base.nats_per_token.ask-docs"] == pytest.approx(4.71)
    assert metrics["corpus.kept.documents"] == 469
    assert metrics["duplicates.planted.recall"] == 0.9766
    assert metrics["duplicates.planted.found.0.80-0.85"] == 0.9531
    assert "duplicates.planted.found.0.95-1.00" not in metrics  # nothing was planted there
    assert metrics["contamination.planted.recall"] == 0.9
    assert metrics["contamination.planted.precision"] == round(90 / 92, 4)
    assert metrics["contamination.planted.found.edited"] == 0.9
    assert metrics["tokens.train"] == 700_000
    assert all(isinstance(value, int | float) for value in metrics.values())


def manifest(at: float, seconds: float) -> dict:
    """What the store writes beside an artifact of pretraining."""
    return {
        "made": {"at": at, "host": "box", "python": "3.11.7"},
        "seconds": seconds,
        "summary": "2,990,080 tokens in 730 steps, loss 2.612",
        "values": {
            "batch_tokens": 4096,
            "seed": 1,
            "schedule": {"peak_lr": 0.002, "warmup_tokens": 200_000, "decay_fraction": 0.2},
            "optimizer": {"type": "muon"},
        },
    }


def test_when_where_and_how_models_were_made_is_told_and_is_no_part_of_the_content(
    tmp_path: Path,
) -> None:
    inputs = everything(tmp_path)
    results = []
    for number, at in enumerate((1_714_521_600.0, 1_746_057_600.0)):
        for name in ("pretrain", "decide"):
            put(tmp_path / name, "manifest.json", manifest(at, 3700))
        (out := tmp_path / f"out-{number}").mkdir()
        values = values_of(snapshot="2024-04-30")
        results.append(write(values, inputs, Context(out=out, work=out)))
    page = (tmp_path / "out-0" / "report.html").read_text()
    assert "About this run" in parsed(page).headings
    said = (
        "2024-05-01 00:00, in 1 h 1 min, on box with Python 3.11.7",
        "0.002 at its peak, after a warm-up of 200,000 tokens, falling over the last 20% of the run",
        "2024-04-30",
        "4,096 tokens a step",
        "parameters, ",
    )
    for words in said:
        assert words in page
    assert "2025-05-01" in (tmp_path / "out-1" / "report.html").read_text()
    assert results[0].content == results[1].content


def test_a_validation_curve_and_an_interval_are_shown_where_they_were_measured(
    tmp_path: Path,
) -> None:
    inputs = everything(tmp_path)
    plain = report(tmp_path / "plain", inputs)
    assert "Validation loss" not in plain and "±" not in plain
    log = tmp_path / "pretrain" / "metrics.jsonl"
    points = [json.loads(line) for line in log.read_text().splitlines()]
    points[-1]["validation_loss"] = 2.7182
    log.write_text("".join(json.dumps(point) + "\n" for point in points))
    of_each = [b * BYTES / 4 for b in (2.0, 2.25, 2.75, 2.5)]
    table = rows("bits_per_byte", list("abcd"), ["docs"] * 4, of_each, [BYTES / 4] * 4)
    context = Context(out=tmp_path / "base", work=tmp_path)
    write_result(context, "perplexity", (BITS_PER_BYTE,), [table], "four documents")
    page = report(tmp_path / "more", inputs)
    assert "Validation loss at the end: 2.718 nats per token." in page
    # Of documents of one size it is the interval of the mean of their ratios.
    expected = 1.96 * np.array([2.0, 2.25, 2.75, 2.5]).std(ddof=1) / 2
    assert f"± {expected:.3f}" in page


def test_what_was_planted_is_told_in_a_sentence(tmp_path: Path) -> None:
    page = report(tmp_path / "out", everything(tmp_path))
    assert "Planted: 97 % of 128 found, none wrongly" in page
    assert "Planted: 90 % of 100 found, 2 wrongly" in page


def test_what_models_write_is_text_and_never_markup(tmp_path: Path) -> None:
    page = report(tmp_path / "out", everything(tmp_path))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_same_inputs_give_the_same_bytes_whatever_the_training_speed(tmp_path: Path) -> None:
    inputs = everything(tmp_path)
    first = report(tmp_path / "one", inputs)
    path = tmp_path / "pretrain" / "metrics.jsonl"
    path.write_text(
        re.sub(r'"tokens_per_second": [\d.]+', '"tokens_per_second": 1', path.read_text())
    )
    assert report(tmp_path / "two", inputs) == first


@pytest.mark.parametrize(
    "missing",
    [
        (
            "finetune",
            "proof",
            "perplexity.ask-docs",
            "answers.base",
            "answers.ask-docs",
            "samples.ask-docs",
        ),
        ("samples.base", "samples.ask-docs"),
        tuple(f"baselines.{name}" for name in TITLES),
        ("perplexity.base",),
        ("answers.base",),
        ("funnel", "tokens", "pretrain"),
        ("duplicates", "contamination"),
    ],
)
def test_missing_inputs_only_leave_their_sections_out(
    tmp_path: Path, missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for picture in ("bars", "curves"):
        monkeypatch.setattr(f"llm.evaluation.report.plots.{picture}", lambda *of: b"")
    inputs = {key: value for key, value in everything(tmp_path).items() if key not in missing}
    names = () if "finetune" in missing else ("ask-docs",)
    assert len(parsed(report(tmp_path / "out", inputs, names)).headings) >= 4
    assert "None" not in (tmp_path / "out" / "report.html").read_text()


def test_nothing_at_all_is_still_a_page(tmp_path: Path) -> None:
    assert parsed(report(tmp_path / "out", {}, ())).headings == []
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {}


def test_unmeasured_answers_are_not_shown_as_figures(tmp_path: Path) -> None:
    inputs = everything(tmp_path)
    for name in ("base", "ask-docs"):
        inputs[f"answers.{name}"] = [result(tmp_path / f"none-{name}", "none", "")]
    page = report(tmp_path / "out", inputs)
    assert "No question is held out" in page
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert not any(name.startswith("answers.") for name in metrics)


def test_a_running_mean_is_the_mean_of_what_came_before() -> None:
    values = np.random.default_rng(0).normal(size=50)
    expected = [values[max(0, n - 6) : n + 1].mean() for n in range(50)]
    np.testing.assert_allclose(running_mean(values, 7), expected, atol=1e-12)


def test_models_and_baselines_that_were_not_measured_on_the_same_bytes_are_refused(
    tmp_path: Path, context: Context
) -> None:
    inputs = everything(tmp_path)
    table = rows("bits_per_byte", ["all"], [""], [2.0], [99.0])
    (out := tmp_path / "other").mkdir()
    write_result(Context(out=out, work=out), "x", (BITS_PER_BYTE,), [table], "fewer bytes")
    with pytest.raises(BadInput, match=r"same bytes .*byte bigram 99"):
        write(values_of(), {**inputs, "baselines.bigram": [out]}, context)


def test_protocols_that_models_share_are_told_once(tmp_path: Path) -> None:
    inputs = everything(tmp_path)
    page = report(tmp_path / "out", inputs)
    assert page.count("26 documents, context 256") == 1
    assert "every byte alike, byte bigram, byte 5-gram, xz -9e alone" in page
    inputs["perplexity.ask-docs"] = [bits(tmp_path / "other", 2.37, "26 documents, context 128")]
    other = report(tmp_path / "two", inputs)
    assert "perplexity, base" in other and "perplexity, ask-docs" in other


def test_a_figure_of_several_sources_is_shown_by_source(tmp_path: Path) -> None:
    inputs = everything(tmp_path)
    plain = report(tmp_path / "plain", inputs)
    assert "Bits per byte of each source" not in plain
    half = BYTES / 2
    table = rows("bits_per_byte", ["a", "b"], ["docs", "wiki"], [half, 3 * half], [half, half])
    context = Context(out=tmp_path / "base", work=tmp_path)
    write_result(context, "perplexity", (BITS_PER_BYTE,), [table], "two sources")
    page = report(tmp_path / "out", inputs)
    assert "Bits per byte of each source" in page and "3.000" in page


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"preset": "qwen3"}, "qwen3, 3 layers, width 32, 2 heads, vocabulary 300, context 48"),
        ({"preset": "gpt2"}, "gpt2, 3 layers, width 32, 2 heads, vocabulary 300, context 48"),
        ({"preset": "gpt2", "feed_forward": "relu2", "logit_soft_cap": 30.0}, "penstock, 3 layers"),
        ({"preset": "llama", "window": 16}, "mistral, 3 layers, width 32"),
    ],
)
def test_a_model_of_any_layout_is_described(
    shape: dict, said: str, tmp_path: Path, context: Context
) -> None:
    sizes = {"layers": 3, "d_model": 32, "heads": 2, "context_length": 48}
    model = Decoder(ModelSettings(**shape, **sizes).resolve(300))
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    model_folder.save(model, tmp_path / "base" / "model", tokenizer)
    write(ReportValues(title="x"), {"pretrain": [tmp_path / "base"]}, context)
    kind, rest = said.split(", ", 1)
    size = sum(parameter.numel() for parameter in model.parameters())
    told = f"{kind}, {size:,} parameters, {rest}"
    assert told in (context.out / "report.html").read_text()

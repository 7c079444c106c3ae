"""The report: everything inside one page, equal bytes for equal inputs, whatever is missing."""

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from llm.corpus.documents import write_table
from llm.evaluation.measured import MEASURED, interval
from llm.evaluation.plots import running_mean
from llm.evaluation.report import ReportValues, write
from llm.models import folder as model_folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.step import BadInput, Context
from llm.tokens.shards import ShardColumns, write_shard
from tests.llm.evaluation.models import write_model, write_tokenizer


@pytest.fixture(autouse=True)
def coarse_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw with few dots: what is drawn stays the same, and the tests are fast."""
    monkeypatch.setattr("llm.evaluation.plots.RESOLUTION", 50)


FUNNEL = [
    {"outcome": "in", "reason": "", "documents": 512, "bytes": 2_450_000},
    {"outcome": "dropped", "reason": "near_duplicate", "documents": 31, "bytes": 190_000},
    {"outcome": "dropped", "reason": "too_few_words", "documents": 12, "bytes": 3_000},
    {"outcome": "kept", "reason": "", "documents": 469, "bytes": 2_257_000},
]


def put(folder: Path, name: str, value: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = value if isinstance(value, str) else json.dumps(value)
    (folder / name).write_text(text)
    return folder


def curve(steps: int, floor: float) -> str:
    random = np.random.default_rng(steps)
    points = [
        {
            "step": step,
            "tokens": 4096 * step,
            "loss": floor + 5.5 * math.exp(-step / steps * 6) + random.normal(0, 0.08),
            "lr": 0.002,
            "grad_norm": 1.0,
            "tokens_per_second": 20000.0 + random.normal(0, 500),
        }
        for step in range(1, steps + 1)
    ]
    return "".join(json.dumps(point) + "\n" for point in points)


def perplexity(bits: float) -> dict:
    totals = {"bits_per_byte": bits, "documents": 26, "bytes": 75_000, "tokens": 24_000}
    return {**totals, "by_source": {"docs": totals}, "protocol": "26 documents, context 256"}


def everything(tmp_path: Path) -> dict[str, list[Path]]:
    write_model(tmp_path / "pretrain")
    put(tmp_path / "pretrain", "metrics.jsonl", curve(730, 2.6))
    write_model(tmp_path / "finetune", seed=2)
    put(tmp_path / "finetune", "metrics.jsonl", curve(60, 1.9))
    (tmp_path / "tokens").mkdir()
    for split, count in (("train", 700_000), ("validation", 31_000)):
        columns = ShardColumns([b"x" * 16], ["docs"], [3], [1], np.array([1], np.uint16))
        sources = {"docs": {"documents": 460, "bytes": 3 * count, "tokens": count}}
        write_shard(tmp_path / f"tokens/{split}.arrow", columns, {"sources": sources})
    figures = {"uniform": 8.0, "bigram": 3.41, "ngram5": 1.93, "xz": 2.46, "xz_primed": 1.51}
    answers = {"questions": 131, "bits_per_byte": 2.9, "protocol": "answers only"}
    samples = [
        {
            "model": "base",
            "prompt": "Return ",
            "text": "the value <b>x</b>\n  & so",
            "ended": False,
        },
        {
            "model": "tuned 1",
            "prompt": "What does os.path.join do?",
            "text": "Joins the paths <script>alert(1)</script>",
            "ended": True,
            "reference": "Join two or more pathname components.",
        },
    ]
    return {
        "funnel": [put(tmp_path / "decide", "funnel.json", {"rows": FUNNEL})],
        "duplicates": [put(tmp_path / "duplicates", "planted.json", DUPLICATES)],
        "contamination": [
            put(tmp_path / "hits-0", "planted.json", contamination(25, 0)),
            put(tmp_path / "hits-1", "planted.json", contamination(20, 2)),
        ],
        "pretrain": [tmp_path / "pretrain"],
        "finetune": [tmp_path / "finetune"],
        "tokens": [tmp_path / "tokens"],
        "perplexity_base": [put(tmp_path / "base", "metrics.json", perplexity(2.11))],
        "perplexity_tuned": [put(tmp_path / "tuned", "metrics.json", perplexity(2.37))],
        "baselines": [
            put(
                tmp_path / "baselines",
                "metrics.json",
                {"bits_per_byte": figures, "protocol": "same bytes"},
            )
        ],
        "answers_base": [put(tmp_path / "ab", "metrics.json", {**answers, "nats_per_token": 4.71})],
        "answers_tuned": [
            put(tmp_path / "at", "metrics.json", {**answers, "nats_per_token": 2.84})
        ],
        "samples": [
            put(tmp_path / "samples", "samples.json", {"samples": samples, "protocol": "seed 0"})
        ],
    }


DUPLICATES = {
    "threshold": 0.8,
    "due": 128,
    "due_found": 125,
    "wrong": 0,
    "recall": 0.9766,
    "precision": 1.0,
    "bands": [
        {"from": 0.75, "to": 0.8, "documents": 30, "theory": 0.62, "met": 0.6, "found": 0.0},
        {"from": 0.8, "to": 0.85, "documents": 64, "theory": 0.92, "met": 0.95, "found": 0.9531},
        {"from": 0.95, "to": 1.0, "documents": 0, "theory": None, "met": None, "found": None},
    ],
}


def contamination(found: int, misses: int) -> dict:
    return {
        "kinds": {kind: {"planted": 25, "found": found} for kind in ("verbatim", "edited")},
        "near_misses": {"shuffled": {"planted": 25, "found": misses}},
    }


def report(folder: Path, inputs: dict[str, list[Path]], finetuned: tuple[str, ...]) -> str:
    folder.mkdir()
    context = Context(out=folder, work=folder)
    write(ReportValues(title="demo", finetuned=finetuned), inputs, context)
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
    page = report(tmp_path / "out", everything(tmp_path), ("ask-docs",))
    assert parsed(page).headings == [
        "Bits per byte",
        "Pretraining loss",
        "Corpus funnel",
        "Search for near-duplicates",
        "Search for evaluation items",
        "Tokens per source",
        "Fine-tuning: ask-docs",
        "Samples",
        "How it was measured",
        "Provenance",
    ]
    for figure in ("2.110", "2.460", "4.710", "2.840", "near_duplicate", "700,000", "95.3 %"):
        assert figure in page


def test_figures_have_flat_names(tmp_path: Path) -> None:
    report(tmp_path / "out", everything(tmp_path), ("ask-docs",))
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["perplexity.bits_per_byte"] == 2.11
    assert metrics["perplexity.docs.bits_per_byte"] == 2.11
    assert metrics["finetune.ask-docs.perplexity.bits_per_byte"] == 2.37
    assert metrics["baselines.bigram.bits_per_byte"] == 3.41
    assert metrics["answers.ask-docs.nats_per_token"] == 2.84
    assert metrics["answers.ask-docs.base.nats_per_token"] == 4.71
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
        values = ReportValues(title="demo", snapshot="2024-04-30", finetuned=("ask-docs",))
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
    plain = report(tmp_path / "plain", inputs, ("ask-docs",))
    assert "Validation loss" not in plain and "±" not in plain
    log = tmp_path / "pretrain" / "metrics.jsonl"
    points = [json.loads(line) for line in log.read_text().splitlines()]
    points[-1]["validation_loss"] = 2.7182
    log.write_text("".join(json.dumps(point) + "\n" for point in points))
    bits = [8_000.0, 9_000.0, 11_000.0, 10_000.0]
    columns = {
        "doc_id": [bytes(15) + bytes([number]) for number in range(4)],
        "source": ["docs"] * 4,
        "bytes": [4_000] * 4,
        "tokens": [1_000] * 4,
        "bits": bits,
    }
    table = pa.table(columns, schema=MEASURED)
    write_table(tmp_path / "base" / "documents.parquet", table)
    page = report(tmp_path / "more", inputs, ("ask-docs",))
    assert "Validation loss at the end: 2.718 nats per token." in page
    # Of documents of one size it is the interval of the mean of their ratios.
    ratios = np.array(bits) / 4_000
    expected = 1.96 * ratios.std(ddof=1) / 2
    assert interval(table) == pytest.approx(expected, rel=1e-3)
    assert f"± {expected:.3f}" in page


def test_what_was_planted_is_told_in_a_sentence(tmp_path: Path) -> None:
    page = report(tmp_path / "out", everything(tmp_path), ("ask-docs",))
    assert "Planted: 97 % of 128 found, none wrongly" in page
    assert "Planted: 90 % of 100 found, 2 wrongly" in page


def test_what_models_write_is_text_and_never_markup(tmp_path: Path) -> None:
    page = report(tmp_path / "out", everything(tmp_path), ("ask-docs",))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_the_same_inputs_give_the_same_bytes_whatever_the_training_speed(tmp_path: Path) -> None:
    inputs = everything(tmp_path)
    first = report(tmp_path / "one", inputs, ("ask-docs",))
    path = tmp_path / "pretrain" / "metrics.jsonl"
    path.write_text(
        re.sub(r'"tokens_per_second": [\d.]+', '"tokens_per_second": 1', path.read_text())
    )
    assert report(tmp_path / "two", inputs, ("ask-docs",)) == first


@pytest.mark.parametrize(
    "missing",
    [
        ("finetune", "perplexity_tuned", "answers_base", "answers_tuned"),
        ("samples",),
        ("baselines",),
        ("perplexity_base",),
        ("funnel", "tokens", "pretrain"),
        ("duplicates", "contamination"),
    ],
)
def test_missing_inputs_only_leave_their_sections_out(
    tmp_path: Path, missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for picture in ("bars", "curves"):
        monkeypatch.setattr(f"llm.evaluation.page.{picture}", lambda *of: b"")
    inputs = {key: value for key, value in everything(tmp_path).items() if key not in missing}
    names = () if "finetune" in missing else ("ask-docs",)
    assert len(parsed(report(tmp_path / "out", inputs, names)).headings) >= 4
    assert "None" not in (tmp_path / "out" / "report.html").read_text()


def test_nothing_at_all_is_still_a_page(tmp_path: Path) -> None:
    assert parsed(report(tmp_path / "out", {}, ())).headings == []
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == {}


def test_unmeasured_answers_are_not_shown_as_figures(tmp_path: Path) -> None:
    inputs = everything(tmp_path)
    nothing = {"questions": 0, "bits_per_byte": None, "nats_per_token": None, "protocol": "none"}
    for name in ("ab", "at"):
        put(tmp_path / name, "metrics.json", nothing)
    page = report(tmp_path / "out", inputs, ("ask-docs",))
    assert "No question is held out" in page
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert not any(name.startswith("answers.") for name in metrics)


def test_a_running_mean_is_the_mean_of_what_came_before() -> None:
    values = np.random.default_rng(0).normal(size=50)
    expected = [values[max(0, n - 6) : n + 1].mean() for n in range(50)]
    np.testing.assert_allclose(running_mean(values, 7), expected, atol=1e-12)


def test_baselines_of_several_steps_stand_together_if_they_are_over_the_same_bytes(
    tmp_path: Path, context: Context
) -> None:
    def measured(name: str, size: int) -> Path:
        result = {"bits_per_byte": {name: 2.0}, "bytes": size, "protocol": f"how {name} is made"}
        return put(tmp_path / f"{name}-{size}", "metrics.json", result)

    folders = [measured("bigram", 100), measured("kneser_ney", 100)]
    write(ReportValues(title="x"), {"baselines": folders}, context)
    metrics = json.loads((context.out / "metrics.json").read_text())
    assert metrics == {
        "baselines.bigram.bits_per_byte": 2.0,
        "baselines.kneser_ney.bits_per_byte": 2.0,
    }
    page = (context.out / "report.html").read_text()
    assert "how bigram is made. how kneser_ney is made" in page
    with pytest.raises(BadInput, match="on 99 and on 100 bytes"):
        write(ReportValues(title="x"), {"baselines": [*folders, measured("hmm", 99)]}, context)


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

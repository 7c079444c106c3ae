"""The report as one HTML page: style and pictures inside, readable on a phone and on a desk."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from llm.corpus.score import told
from llm.evaluation.findings import Findings, Tuned
from llm.evaluation.kit import STYLE, definitions, image, section, table
from llm.evaluation.plots import Bar, Curve, bars, curves
from llm.words import counted

ABOUT = "<!-- about this run -->"
"""Where the page has room for when, where and how its models were made."""

BASELINE_NAMES = {
    "uniform": "every byte alike",
    "bigram": "byte bigram",
    "ngram5": "byte 5-gram",
    "xz": "xz -9e alone",
    "xz_primed": "xz -9e after training text",
    "kneser_ney": "token n-gram (Kneser-Ney)",
    "hmm": "hidden Markov model",
    "lstm": "LSTM",
    "cnn": "causal CNN",
}


def render(found: Findings) -> str:
    """The page. Sections whose figures are missing are left out."""
    plots = [
        _headline(found),
        _loss(found),
        _funnel(found),
        _duplicates(found),
        _contamination(found),
        _tokens(found),
        *(_answers(tuned) for tuned in found.tuned),
    ]
    words = [ABOUT, _samples(found), _protocol(found), _provenance(found)]
    title = escape(found.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Penstock: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header><h1>{title}</h1><p>Penstock: what this run of the recipe found out.</p></header>\n"
        f'{_cards(found)}\n<div class="columns">\n{_lines(plots)}\n</div>\n{_lines(words)}\n'
        "</main>\n</body>\n</html>\n"
    )


def _lines(sections: Iterable[str]) -> str:
    return "\n".join(section for section in sections if section)


def _cards(found: Findings) -> str:
    """The few figures that one looks for first."""
    cards: list[tuple[str, str]] = []
    if found.perplexity:
        cards.append((f"{found.perplexity['bits_per_byte']:.3f}", "bits per byte, base model"))
    for tuned in found.tuned:
        if tuned.answers and tuned.answers["nats_per_token"] is not None:
            cards.append(
                (f"{tuned.answers['nats_per_token']:.2f}", f"nats per answer token, {tuned.name}")
            )
    if found.funnel:
        kept = found.funnel[-1]
        cards.append((f"{kept['documents']:,}", "documents kept"))
        cards.append((_megabytes(kept["bytes"]), "of clean text"))
    if found.loss:
        cards.append((_millions(found.loss[-1]["tokens"]), "tokens trained on"))
    inside = "".join(
        f'<div class="card"><b>{escape(figure)}</b><span>{escape(label)}</span></div>'
        for figure, label in cards
    )
    return f'<div class="cards">{inside}</div>' if cards else ""


def _headline(found: Findings) -> str:
    """Model against baselines, best first, on the same bytes."""
    rows: list[tuple[str, float, bool]] = []
    if found.perplexity:
        rows.append(("base model", found.perplexity["bits_per_byte"], True))
    for tuned in found.tuned:
        if tuned.perplexity:
            rows.append((f"tuned: {tuned.name}", tuned.perplexity["bits_per_byte"], True))
    for name, value in (found.baselines or {}).get("bits_per_byte", {}).items():
        rows.append((BASELINE_NAMES.get(name, name), value, False))
    if not rows:
        return ""
    rows.sort(key=lambda row: row[1])
    picture = bars(
        [
            Bar(name, value, f"{value:.3f}", "ours" if ours else "plain")
            for name, value, ours in rows
        ],
        "bits per byte of validation text",
    )
    reference = found.perplexity["bits_per_byte"] if found.perplexity else None
    spreads = {"base model": found.spread}
    spreads |= {f"tuned: {tuned.name}": tuned.spread for tuned in found.tuned}
    cells = [
        [
            name,
            f"{value:.3f}",
            "" if (spread := spreads.get(name)) is None else f"± {spread:.3f}",
            "" if reference is None or value == reference else f"{value / reference - 1:+.1%}",
        ]
        for name, value, _ in rows
    ]
    figures = table(
        ["", "bits per byte", "95 % interval", "against the base"],
        cells,
        marked=[number for number, row in enumerate(rows) if row[2]],
    )
    note = (
        "Lower is better. All figures are over the same bytes of held-out text. The interval tells how "
        "far a figure would move with other documents of the same kind."
    )
    return section("Bits per byte", note, image(picture, _in_words(rows)) + figures)


def _in_words(rows: Sequence[tuple[str, float, bool]]) -> str:
    return "Bits per byte: " + ", ".join(f"{name} {value:.3f}" for name, value, _ in rows)


def _loss(found: Findings) -> str:
    if not found.loss:
        return ""
    x = [point["tokens"] / 1e6 for point in found.loss]
    y = [point["loss"] for point in found.loss]
    lines = [Curve("", x, y)]
    if found.validation:
        held = found.validation
        x_held = [point["tokens"] / 1e6 for point in held]
        lines.append(Curve("validation", x_held, [point["loss"] for point in held], "loss"))
    picture = curves(lines, "million tokens seen", "training loss, nats per token")
    words = f"Training loss from {y[0]:.2f} to {y[-1]:.2f} nats per token over {x[-1]:.1f} million tokens"
    note = f"{counted(len(found.loss), 'point')}; the strong line is a running mean."
    if found.validation:
        last = found.validation[-1]["loss"]
        words += f"; validation loss {last:.2f} at the end"
        note += f" Validation loss at the end: {last:.3f} nats per token."
    return section("Pretraining loss", note, image(picture, words))


def _funnel(found: Findings) -> str:
    if not found.funnel:
        return ""
    came, kept = found.funnel[0], found.funnel[-1]
    names = {"in": "came in", "kept": "kept"}
    picture = bars(
        [
            Bar(
                names.get(row["outcome"], row["reason"]),
                row["documents"],
                f"{row['documents']:,}",
                "plain" if row["outcome"] == "dropped" else "ours",
            )
            for row in found.funnel
        ],
        "documents",
    )
    figures = table(
        ["", "documents", "bytes"],
        [
            [
                names.get(row["outcome"], f"dropped: {row['reason']}"),
                f"{row['documents']:,}",
                f"{row['bytes']:,}",
            ]
            for row in found.funnel
        ],
        marked=[0, len(found.funnel) - 1],
    )
    words = f"{kept['documents']:,} of {came['documents']:,} documents were kept"
    note = f"{words}. Every document is in exactly one row."
    return section("Corpus funnel", note, image(picture, words) + figures)


def _duplicates(found: Findings) -> str:
    """How many planted near-duplicates were found, by how alike they are to their origins."""
    planted = found.duplicates
    if not planted:
        return ""
    rows = [
        [
            f"{band['from']:.2f} to {band['to']:.2f}",
            f"{band['documents']:,}",
            _percent(band["found"]),
            _percent(band["theory"]),
        ]
        for band in planted["bands"]
    ]
    due = [n for n, band in enumerate(planted["bands"]) if band["from"] >= planted["threshold"]]
    note = (
        f"{_said(planted)}. They are edits of real documents: from a similarity of "
        f"{planted['threshold']:g} on they should be found. MinHash: how many meet by theory."
    )
    figures = table(["similarity", "planted", "found", "MinHash"], rows, marked=due)
    return section("Search for near-duplicates", note, figures)


def _contamination(found: Findings) -> str:
    """How many planted evaluation items were found, by what had been done to them."""
    planted = found.contamination
    if not planted:
        return ""
    rows = [
        [words, f"{counts['planted']:,}", f"{counts['found']:,}"]
        for which, form in (("kinds", "{}"), ("near_misses", "none: {}"))
        for words, counts in ((form.format(kind), one) for kind, one in planted[which].items())
    ]
    note = f"{_said(planted)}. They were put into copies of documents, as they are or changed."
    figures = table(["item", "planted", "found"], rows, marked=range(len(planted["kinds"])))
    return section("Search for evaluation items", note, figures)


def _said(planted: Mapping[str, Any]) -> str:
    return told(planted["due"], planted["due_found"], planted["wrong"]).capitalize()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _tokens(found: Findings) -> str:
    train, held = found.tokens.get("train", {}), found.tokens.get("validation", {})
    sources = sorted({*train, *held}, key=lambda name: -train.get(name, {}).get("tokens", 0))
    if not sources:
        return ""
    nothing = {"documents": 0, "bytes": 0, "tokens": 0}
    picture = bars(
        [
            Bar(
                name,
                train.get(name, nothing)["tokens"],
                _millions(train.get(name, nothing)["tokens"]),
                "ours",
            )
            for name in sources
        ],
        "training tokens",
    )
    cells = []
    for name in sources:
        ours, theirs = train.get(name, nothing), held.get(name, nothing)
        per_token = (ours["bytes"] + theirs["bytes"]) / max(1, ours["tokens"] + theirs["tokens"])
        cells.append([name, f"{ours['tokens']:,}", f"{theirs['tokens']:,}", f"{per_token:.2f}"])
    figures = table(["source", "training", "validation", "bytes per token"], cells)
    words = "Training tokens: " + ", ".join(
        f"{name} {train.get(name, nothing)['tokens']:,}" for name in sources
    )
    return section("Tokens per source", "", image(picture, words) + figures)


def _answers(tuned: Tuned) -> str:
    """Loss on held-out answers before and after fine-tuning, and the loss while tuning."""
    rows = [
        (label, answers)
        for label, answers in (("base model", tuned.answers_base), (tuned.name, tuned.answers))
        if answers and answers["nats_per_token"] is not None
    ]
    inside = ""
    if rows:
        inside += image(
            bars(
                [
                    Bar(
                        label,
                        answers["nats_per_token"],
                        f"{answers['nats_per_token']:.3f}",
                        "ours" if label == tuned.name else "plain",
                    )
                    for label, answers in rows
                ],
                "nats per answer token",
            ),
            "Answer loss: "
            + ", ".join(f"{label} {answers['nats_per_token']:.3f}" for label, answers in rows),
        )
        inside += table(
            ["", "nats per token", "bits per byte", "questions"],
            [
                [
                    label,
                    f"{answers['nats_per_token']:.3f}",
                    f"{answers['bits_per_byte']:.3f}",
                    f"{answers['questions']:,}",
                ]
                for label, answers in rows
            ],
            marked=[number for number, row in enumerate(rows) if row[0] == tuned.name],
        )
    if tuned.loss:
        steps = [point["step"] for point in tuned.loss]
        losses = [point["loss"] for point in tuned.loss]
        inside += image(
            curves([Curve("", steps, losses, "loss")], "step", "loss on answers, nats per token"),
            f"Fine-tuning loss from {losses[0]:.2f} to {losses[-1]:.2f}",
        )
    if not inside:
        return ""
    note = "Held-out questions: only the answers count." if rows else "No question is held out."
    return section(f"Fine-tuning: {tuned.name}", note, inside)


def _samples(found: Findings) -> str:
    if not found.samples:
        return ""
    articles = []
    for sample in found.samples:
        tag = f'<span class="tag">{escape(sample["model"])}</span>'
        more = "" if sample["ended"] else "…"
        prompt, text = escape(sample["prompt"]), escape(sample["text"])
        if sample["model"] == "base":
            body = f'<p class="text"><b>{prompt}</b>{text}{more}</p>'
        else:
            body = f'<p><b>{prompt}</b></p><p class="text">{text}{more}</p>'
        if "reference" in sample:
            body += f'<p class="reference">Right answer: {escape(sample["reference"])}</p>'
        articles.append(f"<article>{tag}{body}</article>")
    inside = f'<div class="samples">{"".join(articles)}</div>'
    return section("Samples", found.samples_protocol, inside)


def _protocol(found: Findings) -> str:
    entries = [
        ("model", found.perplexity),
        ("baselines", found.baselines),
        *((f"answers, {tuned.name}", tuned.answers) for tuned in found.tuned),
    ]
    rows = [(name, metrics["protocol"]) for name, metrics in entries if metrics]
    return section("How it was measured", "", definitions(rows)) if rows else ""


def _provenance(found: Findings) -> str:
    rows = list(found.model.items())
    for tuned in found.tuned:
        rows += [(f"{tuned.name}: {key}", value) for key, value in tuned.model.items()]
    note = "Digests are the first 16 hex digits of BLAKE2b over the file."
    return section("Provenance", note, definitions(rows)) if rows else ""


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.2f} MB"


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1e5 else f"{count:,.0f}"

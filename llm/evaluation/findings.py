"""What a run found out, gathered from the artifacts of its steps for the report.

Every input may be missing (a recipe without fine-tuning, a suite left out): what is not there is
None or empty here, and the report leaves its section out.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm.corpus.documents import read_table
from llm.durable import file_digest
from llm.evaluation.measured import MEASURED, interval
from llm.step import BadInput, Inputs
from llm.tokens.shards import Shard
from llm.words import counted

CURVE_POINTS = 2_000


@dataclass
class Tuned:
    """One fine-tuned model. The metrics are those files' contents, None where not measured."""

    name: str
    perplexity: dict[str, Any] | None = None
    answers_base: dict[str, Any] | None = None
    answers: dict[str, Any] | None = None
    loss: list[dict[str, float]] = field(default_factory=list)
    model: dict[str, str] = field(default_factory=dict)
    spread: float | None = None


@dataclass
class Findings:
    """Everything that the report shows.

    funnel: rows of outcome, reason, documents, bytes. tokens: by split, by source, counts of
    documents, bytes and tokens. loss, validation: points of step, tokens, loss. spread: half of the 95 %
    interval of the base model's bits per byte. model: what it is, as words.
    duplicates: how many planted near-duplicates were found, by similarity. contamination: how many
    planted evaluation items were, by kind, over all shards.
    """

    title: str
    perplexity: dict[str, Any] | None = None
    baselines: dict[str, Any] | None = None
    tuned: list[Tuned] = field(default_factory=list)
    funnel: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    duplicates: dict[str, Any] | None = None
    contamination: dict[str, Any] | None = None
    loss: list[dict[str, float]] = field(default_factory=list)
    validation: list[dict[str, float]] = field(default_factory=list)
    spread: float | None = None
    model: dict[str, str] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    samples_protocol: str = ""


def gather(title: str, names: Sequence[str], inputs: Inputs) -> Findings:
    """Read all inputs of the report (see `report.write`). Raises BadInput where they don't match."""
    found = Findings(
        title=title,
        perplexity=_metrics(inputs, "perplexity_base", 0),
        baselines=_baselines(inputs.get("baselines", ())),
        funnel=_funnel(inputs.get("funnel", ())),
        tokens=_tokens(inputs.get("tokens", ())),
        duplicates=next(iter(_planted(inputs.get("duplicates", ()))), None),
        contamination=_together(_planted(inputs.get("contamination", ()))),
        spread=_spread(inputs, "perplexity_base", 0),
    )
    for folder in inputs.get("pretrain", ()):
        found.loss = _curve(folder / "metrics.jsonl")
        found.validation = _curve(folder / "metrics.jsonl", "validation_loss")
        found.model = _describe(folder / "model")
    _require_one_each(names, inputs)
    for number, name in enumerate(names):
        tuned = Tuned(
            name,
            perplexity=_metrics(inputs, "perplexity_tuned", number),
            answers_base=_metrics(inputs, "answers_base", number),
            answers=_metrics(inputs, "answers_tuned", number),
            spread=_spread(inputs, "perplexity_tuned", number),
        )
        if inputs.get("finetune"):
            folder = inputs["finetune"][number]
            tuned.loss = _curve(folder / "metrics.jsonl")
            tuned.model = _describe(folder / "model")
        found.tuned.append(tuned)
    titles = {f"tuned {number}": name for number, name in enumerate(names, start=1)}
    for folder in inputs.get("samples", ()):
        written = _json(folder / "samples.json")
        found.samples_protocol = written["protocol"]
        for sample in written["samples"]:
            found.samples.append({**sample, "model": titles.get(sample["model"], sample["model"])})
    return found


def flat_metrics(found: Findings) -> dict[str, float]:
    """Every figure under a name of its own, such as perplexity.docs.bits_per_byte."""
    flat: dict[str, float] = {}
    flat.update(_perplexity("perplexity", found.perplexity))
    for name, value in (found.baselines or {}).get("bits_per_byte", {}).items():
        flat[f"baselines.{name}.bits_per_byte"] = value
    for tuned in found.tuned:
        flat.update(_perplexity(f"finetune.{tuned.name}.perplexity", tuned.perplexity))
        for prefix, answers in (("", tuned.answers), (".base", tuned.answers_base)):
            for key in ("bits_per_byte", "nats_per_token"):
                if answers and answers[key] is not None:
                    flat[f"answers.{tuned.name}{prefix}.{key}"] = answers[key]
    for outcome in ("in", "kept"):
        for row in found.funnel:
            if row["outcome"] == outcome:
                flat[f"corpus.{outcome}.documents"] = row["documents"]
                flat[f"corpus.{outcome}.bytes"] = row["bytes"]
    flat.update(_planted_metrics(found))
    for split, sources in found.tokens.items():
        flat[f"tokens.{split}"] = sum(counts["tokens"] for counts in sources.values())
    if found.loss:
        flat["pretrain.tokens"] = found.loss[-1]["tokens"]
        flat["pretrain.loss"] = found.loss[-1]["loss"]
    return flat


def _planted_metrics(found: Findings) -> dict[str, float]:
    figures: dict[str, float | None] = {}
    for kind, planted in (("duplicates", found.duplicates), ("contamination", found.contamination)):
        for name in ("due", "recall", "precision"):
            figures[f"{kind}.planted.{name}"] = (planted or {}).get(name)
    for band in (found.duplicates or {}).get("bands", ()):
        name = f"{band['from']:.2f}-{band['to']:.2f}"
        figures[f"duplicates.planted.found.{name}"] = band["found"]
    for kind, counts in (found.contamination or {}).get("kinds", {}).items():
        figures[f"contamination.planted.found.{kind}"] = _share(counts["found"], counts["planted"])
    return {name: value for name, value in figures.items() if value is not None}


def _perplexity(prefix: str, metrics: Mapping[str, Any] | None) -> dict[str, float]:
    if metrics is None:
        return {}
    by_source = {
        f"{prefix}.{source}.bits_per_byte": totals["bits_per_byte"]
        for source, totals in metrics["by_source"].items()
    }
    return {f"{prefix}.bits_per_byte": metrics["bits_per_byte"], **by_source}


def _require_one_each(names: Sequence[str], inputs: Inputs) -> None:
    for key in ("finetune", "perplexity_tuned", "answers_base", "answers_tuned"):
        given = len(inputs.get(key, ()))
        if given not in (0, len(names)):
            raise ValueError(f"{given} artifacts of {key} for {len(names)} fine-tuned models")


def _metrics(inputs: Inputs, key: str, number: int) -> dict[str, Any] | None:
    folders = inputs.get(key, ())
    return _json(folders[number] / "metrics.json") if folders else None


def _spread(inputs: Inputs, key: str, number: int) -> float | None:
    """Half of the 95 % interval of a model's bits per byte, from how much its documents differ."""
    folders = inputs.get(key, ())
    if not folders or not (path := folders[number] / "documents.parquet").is_file():
        return None
    return interval(read_table(path, MEASURED))


def _baselines(folders: Sequence[Path]) -> dict[str, Any] | None:
    """All baselines' figures as one file's. Raises BadInput where they are over different bytes."""
    if not folders:
        return None
    first, *others = [_json(folder / "metrics.json") for folder in folders]
    for one in others:
        if one["bytes"] != first["bytes"]:
            raise BadInput(
                f"baselines were measured on {one['bytes']} and on {first['bytes']} bytes of "
                "validation text: run the tokenize and evaluate stages again on the same documents"
            )
        first["bits_per_byte"].update(one["bits_per_byte"])
        first["protocol"] += f". {one['protocol']}"
    return first


def _json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text("utf8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}): make that artifact again") from error
    return value


def _planted(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """What searches found of what was planted; nothing may have been."""
    paths = [folder / "planted.json" for folder in folders]
    return [_json(path) for path in paths if path.exists()]


def _together(shards: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What all shards found of planted evaluation items: counts by kind, and shares of all."""
    if not shards:
        return None
    sums: dict[str, dict[str, dict[str, int]]] = {"kinds": {}, "near_misses": {}}
    for shard in shards:
        for which, kinds in sums.items():
            for kind, counts in shard[which].items():
                total = kinds.setdefault(kind, {"planted": 0, "found": 0})
                for name in total:
                    total[name] += counts[name]
    due, right = (sum(one[name] for one in sums["kinds"].values()) for name in ("planted", "found"))
    wrong = sum(one["found"] for one in sums["near_misses"].values())
    shares = {"recall": _share(right, due), "precision": _share(right, right + wrong)}
    return {**sums, "due": due, "due_found": right, "wrong": wrong, **shares}


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _funnel(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of all decisions together: in, dropped by each reason with the most first, kept."""
    together: dict[tuple[str, str], dict[str, Any]] = {}
    for folder in folders:
        for row in _json(folder / "funnel.json")["rows"]:
            total = together.setdefault(
                (row["outcome"], row["reason"]), {**row, "documents": 0, "bytes": 0}
            )
            total["documents"] += row["documents"]
            total["bytes"] += row["bytes"]
    order = {"in": 0, "dropped": 1, "kept": 2}
    return sorted(
        together.values(),
        key=lambda row: (order[row["outcome"]], -row["documents"], row["reason"]),
    )


def _tokens(folders: Sequence[Path]) -> dict[str, dict[str, dict[str, int]]]:
    """Counts by split and source, as the shards' own metadata say."""
    splits: dict[str, dict[str, dict[str, int]]] = {}
    for folder in folders:
        for split in ("train", "validation"):
            for source, counts in Shard.open(folder / f"{split}.arrow").metadata["sources"].items():
                total = splits.setdefault(split, {}).setdefault(source, dict.fromkeys(counts, 0))
                for key, count in counts.items():
                    total[key] += count
    return splits


def _curve(path: Path, name: str = "loss") -> list[dict[str, float]]:
    """Points of step, tokens and loss, thinned out evenly to CURVE_POINTS; the last is kept.

    name: which of the log's figures is the loss.
    """
    points = list(_points(path, name))
    every = max(1, -(-len(points) // CURVE_POINTS))
    return points[::-1][::every][::-1]


def _points(path: Path, name: str) -> Iterator[dict[str, float]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            point = json.loads(line)
            # Seconds and tokens a second stand there too: they differ between equal runs.
            if name in point:
                yield {"step": point["step"], "tokens": point["tokens"], "loss": point[name]}


def _describe(folder: Path) -> dict[str, str]:
    """What a model folder holds: shape, and digests of weights and tokenizer."""
    if not folder.is_dir():
        return {}
    from llm.models.folder import read_config  # imports torch

    config = read_config(folder)
    shape = (
        f"{_kind(folder)}, {config.parameters:,} parameters, {counted(config.layers, 'layer')}, "
        f"width {config.d_model}, {counted(config.heads, 'head')}, vocabulary {config.vocabulary}, context {config.context_length} tokens"
    )
    weights = {
        f"weights ({path.name})": file_digest(path)[:16]
        for path in sorted(folder.glob("*.safetensors"))
    }
    return {
        "model": shape,
        **weights,
        "tokenizer (tokenizer.json)": file_digest(folder / "tokenizer.json")[:16],
    }


def _kind(folder: Path) -> str:
    """The name of the folder's layout: qwen3, gpt2, or penstock for our own."""
    return str(_json(folder / "config.json")["model_type"])

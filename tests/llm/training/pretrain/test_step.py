"""The step's checks of what it is given, before anything is started."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm.machine import Machine
from llm.models.config import ModelConfig, ModelSettings
from llm.models.decoder import Decoder
from llm.models.folder import load, save
from llm.step import BadInput, Context, Inputs
from llm.tokens.batches import Batches
from llm.tokens.phases import Phase
from llm.training.optimizers.settings import OptimizerSettings
from llm.training.pretrain import step as pretrain
from llm.training.pretrain.data import Windows, read_data
from llm.training.pretrain.settings import PretrainSettings
from llm.training.ranks import launch
from llm.training.ranks.rank import Group
from llm.training.schedule import ScheduleSettings
from llm.training.work import STARTED, folder_digest
from tests.llm.training.runs import VOCABULARY, tiny_settings, write_tokens


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train as the only rank, in this process: the launcher has tests of its own."""

    def run(module: str, job: dict[str, Any], context: Context, processes: int, steps: int) -> None:
        assert pretrain.train(json.loads(json.dumps(job)), Group(), context.work)

    monkeypatch.setattr(launch, "run", run)


def write_model(folder: Path, inputs: Inputs, **changes: Any) -> Path:
    """A model folder as an earlier run would have left it."""
    config = tiny_settings().model.resolve(VOCABULARY)
    model = Decoder(ModelConfig(**{**config.__dict__, **changes}))
    model.initialise(7)
    save(model, folder, inputs["tokenizer"][0] / "tokenizer.json")
    return folder


@pytest.mark.usefixtures("in_process")
def test_the_artifact_is_a_model_its_logs_and_its_trunk(inputs: Inputs, context: Context) -> None:
    result = pretrain.pretrain(tiny_settings(), inputs, context)
    model, tokenizer = load(context.out / "model")
    assert tokenizer.get_vocab_size() == model.config.vocabulary == VOCABULARY
    assert result.content == folder_digest(context.out / "model")
    assert result.counts["tokens"] == 12 * 128
    points = [json.loads(line) for line in (context.out / "metrics.jsonl").open()]
    assert set(points[0]) == {
        "step",
        "tokens",
        "loss",
        "lr",
        "grad_norm",
        "tokens_per_second",
        "mfu",
        "memory_bytes",
    }
    assert points[0]["mfu"] is None and points[0]["memory_bytes"] > 1e7
    assert points[-1]["loss"] < points[0]["loss"]
    windows = [
        w for line in (context.out / "seen.jsonl").open() for w in json.loads(line)["windows"]
    ]
    epoch = (1400 - 1) // 16
    assert sorted(windows[:epoch]) == list(range(epoch))  # each window once before any comes again
    assert len(windows) == 12 * 8


@pytest.mark.usefixtures("in_process")
def test_a_finished_run_whose_artifact_was_lost_gives_it_again(
    inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    first = pretrain.pretrain(tiny_settings(), inputs, context)
    (tmp_path / "again").mkdir()
    again = Context(out=tmp_path / "again", work=context.work, machine=context.machine)
    assert pretrain.pretrain(tiny_settings(), inputs, again) == first
    for name in ("metrics.jsonl", "seen.jsonl"):
        assert (again.out / name).read_bytes() == (context.out / name).read_bytes()


@pytest.mark.usefixtures("in_process")
def test_training_starts_from_the_weights_of_init(
    inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    init = write_model(tmp_path / "init", inputs)
    settings = tiny_settings(init=str(init), tokens=128, schedule=ScheduleSettings(peak_lr=1e-30))
    pretrain.pretrain(settings, {**inputs, "init": [init]}, context)
    before, _ = load(init)
    after, _ = load(context.out / "model")
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-20)


@pytest.mark.parametrize("field", ["layers", "hidden", "kv_heads", "tie_embeddings", "rope_theta"])
def test_an_init_of_another_shape_is_refused_by_field(
    field: str, inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    other = {"layers": 1, "hidden": 64, "kv_heads": 1, "tie_embeddings": False, "rope_theta": 5e5}
    init = write_model(tmp_path / "init", inputs, **{field: other[field]})
    with pytest.raises(BadInput, match=rf"pretrain\.init: .* has {field} {other[field]}, .*set "):
        pretrain.prepare(tiny_settings(), {**inputs, "init": [init]}, context)


def test_an_init_of_another_tokenizer_is_refused(
    inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    init = write_model(tmp_path / "init", inputs)
    path = init / "tokenizer.json"
    path.write_text(path.read_text().replace('"w3"', '"other"'))
    with pytest.raises(BadInput, match=r"another tokenizer .* token 3, 'other', is unknown there"):
        pretrain.prepare(tiny_settings(), {**inputs, "init": [init]}, context)


def test_a_folder_that_is_no_model_is_refused(
    inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="not a model folder"):
        pretrain.prepare(tiny_settings(), {**inputs, "init": [tmp_path]}, context)


def test_a_corpus_of_less_than_one_window_is_refused(
    inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    write_tokens(tmp_path / "small", 16, 0)
    with pytest.raises(BadInput, match="16 tokens, fewer than one window"):
        pretrain.prepare(tiny_settings(), {**inputs, "tokens": [tmp_path / "small"]}, context)


@pytest.mark.usefixtures("in_process")
def test_a_corpus_smaller_than_a_batch_is_repeated(
    inputs: Inputs, context: Context, tmp_path: Path
) -> None:
    write_tokens(tmp_path / "small", 50, 0)
    result = pretrain.pretrain(tiny_settings(), {**inputs, "tokens": [tmp_path / "small"]}, context)
    assert result.counts["epochs"] == {"docs": 12 * 8 / (49 // 16)}


@pytest.mark.usefixtures("in_process")
def test_sources_are_seen_by_their_weights_whether_interrupted_or_not(
    inputs: Inputs, context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tokens(tmp_path / "books", 300, 5, source="books")
    mixed = {**inputs, "tokens": [*inputs["tokens"], tmp_path / "books"]}
    values = tiny_settings(mix={"books": 4.0, "docs": 0.5})
    result = pretrain.pretrain(values, mixed, context)
    shares = {"books": 4 * (299 // 16), "docs": round(0.5 * (1399 // 16))}
    assert result.counts["epoch_windows"] == shares
    assert result.summary.endswith("; windows an epoch: books 72, docs 44")
    read = {name: 12 * 8 * share / sum(shares.values()) for name, share in shares.items()}
    due = {"books": read["books"] / (299 // 16), "docs": read["docs"] / (1399 // 16)}
    assert result.counts["epochs"] == {name: round(number, 2) for name, number in due.items()}

    (tmp_path / "again").mkdir()
    (tmp_path / "interrupted").mkdir()
    again = Context(tmp_path / "again", tmp_path / "interrupted", machine=context.machine)
    read = Batches.batch

    def fail_at_seven(data: Batches, step: int, *rows: int) -> Any:
        if step == 7:
            raise InterruptedError
        return read(data, step, *rows)

    monkeypatch.setattr(Batches, "batch", fail_at_seven)
    with pytest.raises(InterruptedError):
        pretrain.pretrain(values, mixed, again)
    monkeypatch.setattr(Batches, "batch", read)
    assert pretrain.pretrain(values, mixed, again) == result
    assert (again.out / "seen.jsonl").read_bytes() == (context.out / "seen.jsonl").read_bytes()


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("changes", [{"packing": "best_fit"}, {"document_mask": True}])
def test_documents_kept_apart_train_and_padding_is_told(
    changes: dict[str, Any], inputs: Inputs, context: Context
) -> None:
    values = tiny_settings(**changes)
    result = pretrain.pretrain(values, inputs, context)
    points = [json.loads(line) for line in (context.out / "metrics.jsonl").open()]
    assert points[-1]["loss"] < points[0]["loss"]
    # Two documents of 700 tokens: 44 pieces each, the last of them of 12 tokens.
    padding = {"epoch_padding": 2 * 4} if values.packing == "best_fit" else {}
    assert {name: result.counts[name] for name in result.counts if "padding" in name} == padding
    phase = Phase(0, [folder / "train.arrow" for folder in inputs["tokens"]])
    whole = Windows(read_data(values, [phase])).part(3, 0, 1)
    parts = [Windows(read_data(values, [phase])).part(3, part, 4) for part in range(4)]
    for name in ("tokens", "targets", "segments"):
        dealt = np.concatenate([part[name] for part in parts])
        assert np.array_equal(dealt, whole[name])


@pytest.mark.parametrize("weight", [-1.0, float("nan"), 1001.0])
def test_a_weight_out_of_bounds_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match=r"mix.books is .*: a weight is from 0 to 1,000"):
        tiny_settings(mix={"books": weight})


@pytest.mark.parametrize(
    "batch", [100, 16, 0], ids=["no whole windows", "fewer windows than parts", "nothing"]
)
def test_an_impossible_batch_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match=rf"batch_tokens {batch} must be a multiple"):
        PretrainSettings(model=ModelSettings(context_length=16), batch_tokens=batch)


@pytest.mark.usefixtures("in_process")
def test_a_damaged_trunk_is_told_and_training_starts_from_scratch(
    inputs: Inputs, tmp_path: Path, context: Context
) -> None:
    pretrain.pretrain(tiny_settings(), inputs, context)
    state = context.out / "trunk" / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-8])
    warnings: list[str] = []
    (tmp_path / "out2").mkdir()
    (tmp_path / "work2").mkdir()
    again = Context(out=tmp_path / "out2", work=tmp_path / "work2", machine=Machine(device="cpu"))
    again.report.warning = warnings.append  # type: ignore[method-assign]
    pretrain.pretrain(tiny_settings(), {**inputs, "trunk": [context.out]}, again)
    assert "starts from scratch" in warnings[0]
    assert json.loads((again.work / STARTED).read_text())["step"] == 0


Digest = Callable[[PretrainSettings], str]


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"tokens": 99_999}, True),
        ({"checkpoint_every": 50}, True),
        ({"keep_last": 5, "keep_every": 100, "validate_every": 7}, True),
        ({"z_loss": 1e-4}, False),
        ({"schedule": {"decay_fraction": 0.1}}, True),
        ({"schedule": {"warmup_tokens": 1}}, False),
        ({"seed": 9}, False),
        ({"data_parallel": 2}, False),
        ({"optimizer": {"weight_decay": 0.5}}, False),
    ],
)
def test_two_runs_share_their_trunk_when_they_differ_only_after_it(
    changes: dict[str, Any], same: bool, inputs: Inputs, context: Context
) -> None:
    base = tiny_settings(schedule=ScheduleSettings())
    kinds = {"schedule": ScheduleSettings, "optimizer": OptimizerSettings}
    made = {
        name: kinds[name](**value) if name in kinds else value for name, value in changes.items()
    }
    other = tiny_settings(**{"schedule": base.schedule, **made})
    one, two = (pretrain.prepare(values, inputs, context)["identity"] for values in (base, other))
    assert (one == two) is same

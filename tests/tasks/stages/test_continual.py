"""A recipe whose nights follow each other: which trunk a night goes on from, and why not another."""

import json
import random
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flows.planning import make_plan
from llm.corpus.erasure.takedown import change_list
from llm.recipe import RecipeError, load_recipe
from llm.runs import RunRecord, collect, find_garbage
from llm.step import Context, Reporter
from llm.store import Artifact, Reference
from llm.training.pretrain import step as training
from llm.training.ranks import launch
from llm.training.ranks.rank import Group
from tasks.commands.local import run_locally
from tasks.commands.purge import purge
from tasks.engine.home import PROJECT, Home
from tasks.stages.trunk import trunk_pointer

POINTER = trunk_pointer("n")
STEP = 8 * 32  # tokens


def prose(seed: int, words: int = 150) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randrange(2_000)}" for _ in range(words)) + "."


class Log(Reporter):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, message: str) -> None:
        self.said.append(message)

    warning = info


class Nights:
    """A project whose corpus grows by a few texts a night; `jobs` are the trainings that ran."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.home, self.jobs = Home(home), list[dict[str, Any]]()
        self.source, self.path = folder / "mine.jsonl", folder / "n.yaml"
        self.path.write_text(
            f"extends: {PROJECT}/recipes/nightly.yaml\nname: n\n"
            f"crawl: {{sources: {{docs: null, mine: {{type: files, path: '{self.source}'}}}}}}\n"
            "clean: {filters: {presets: []}}\n"
            "tokenizer: {vocabulary: 400}\n"
            "tokenize: {validation: {fraction: 0}}\n"
            "pretrain:\n"
            "  model: {layers: 1, d_model: 32, heads: 2, head_dim: 16, context_length: 32}\n"
            f"  batch_tokens: {STEP}\n"
            f"  tokens: {10 * STEP}\n"
            "  precision: fp32\n"
            "  optimizer: {type: adamw}\n"
            "  schedule: {warmup_tokens: 500, decay_fraction: 0.3, peak_lr: 0.004}\n"
            "  continual: {epochs: 1, replay: 0.5}\n"
        )
        self.said: list[str] = []
        self.records: list[RunRecord] = []

    def train(
        self, module: str, job: dict[str, Any], context: Context, processes: int, steps: int
    ) -> None:
        """In the place of torchrun: the only rank is this process."""
        self.jobs.append(job)
        assert training.train(json.loads(json.dumps(job)), Group(), context.work)

    def write(self, texts: int) -> None:
        """Let the source have so many texts."""
        rows = [{"url": f"http://a.test/{at}", "text": prose(at)} for at in range(texts)]
        self.source.write_text("\n".join(map(json.dumps, rows)))

    def run(self, day: int, texts: int | None, *overrides: str, **options: Any) -> RunRecord:
        """Run a night up to pretrain; `said` has what it told."""
        if texts is not None:
            self.write(texts)
        report = Log()
        run_id = run_locally(
            self.home,
            str(self.path),
            overrides,
            snapshot=f"2026-01-0{day}",
            report=report,
            **{"until": "pretrain", **options},
        )
        self.said = report.said
        return self.home.runs.load(run_id)

    def plan(self, day: int, *overrides: str) -> str:
        """What a plan says of pretrain."""
        args = (None, "pretrain", None, (), (), ())
        planned = make_plan(self.home, str(self.path), overrides, f"2026-01-0{day}", *args)
        return next("; ".join((one.action, *one.why)) for one in planned if one.call == "pretrain")

    def model(self, record: RunRecord) -> Artifact:
        """What a night made."""
        reference = (record.outputs("pretrain") or {})["model"]["base"]
        found = self.home.store.find(reference.step, reference.key)
        assert found is not None
        return found

    def begun(self, job: int = -1) -> int:
        """The step at which a training began."""
        start = self.jobs[job]["start"]
        return json.loads((Path(start) / "checkpoint.json").read_text())["step"] if start else 0


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RunRecord]]:
    """A folder whose home has run two nights, their records; of a third one the tokens are there.

    Each test copies the home.
    """
    folder = tmp_path_factory.mktemp("nights")
    project = Nights(folder, folder / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "run", project.train)
        records = [project.run(1, 12), project.run(2, 20)]
        project.run(3, 26, until="tokenize")
        return folder, records


@pytest.fixture
def nights(
    two_nights: tuple[Path, list[RunRecord]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Nights:
    folder, records = two_nights
    shutil.copytree(folder / "home", tmp_path / "home")
    project = Nights(folder, tmp_path / "home")
    project.records = records
    project.write(26)
    monkeypatch.setattr(launch, "run", project.train)
    return project


def trunks(records: Sequence[RunRecord], nights: Nights) -> list[int]:
    return [nights.model(record).manifest["counts"]["trunk_steps"] for record in records]


def test_each_night_goes_on_from_the_last_to_what_a_run_from_scratch_over_all_gives(
    nights: Nights,
) -> None:
    records = [*nights.records, nights.run(3, None)]
    steps = trunks(records, nights)
    assert steps[0] == 7 and steps == sorted(set(steps))
    assert nights.begun() == steps[1]
    tokenizers = [(record.outputs("tokenizer") or {})["tokenizer"]["all"] for record in records]
    assert len(set(tokenizers)) == 1
    pointer = nights.home.runs.pointer(POINTER)
    assert pointer and (pointer["snapshot"], pointer["steps"]) == ("2026-01-03", steps[2])
    release = nights.model(records[2])
    counts = release.manifest["counts"]
    assert counts["steps"] == steps[2] + 3 and counts["phases"] == 3
    shards = (records[2].outputs("tokenize") or {})["tokens"].values()
    held = [nights.home.store.read(one.step, one.key).manifest["counts"] for one in shards]
    assert counts["corpus_tokens"] == sum(one["tokens"] for one in held)
    assert "phase 3: " in release.manifest["summary"] and "replayed" in release.manifest["summary"]
    folder = nights.home.store.local(release.reference)
    lines = [json.loads(line) for line in (folder / "phases.jsonl").read_text().splitlines()]
    assert [line["from_step"] for line in lines] == [0, *steps]
    again = nights.run(3, None, force=["pretrain"])
    assert nights.begun() == 0, "forced means from scratch"
    assert nights.model(again).reference.content == release.reference.content


def test_a_night_with_nothing_new_trains_nothing(nights: Nights) -> None:
    third = nights.run(3, 20)
    assert not nights.jobs
    assert nights.model(third).reference == nights.model(nights.records[1]).reference


def test_a_plan_tells_which_trunk_tonight_goes_on_from(nights: Nights) -> None:
    last = nights.model(nights.records[1])
    steps = last.manifest["counts"]["trunk_steps"]
    named = f"continues from the trunk of pretrain/{last.reference.key[:12]} at step {steps}"
    assert nights.plan(3) == f"run; input tokens-0003: 0 → 1 artifact; {named}"
    assert named in nights.plan(3, "pretrain.checkpoint_every=50"), "how, not what"
    nights.write(30)
    unknown = "may run; an input is not made yet"
    assert nights.plan(4) == f"{unknown}; {named}, if what it read is as it was"


def test_an_erased_document_sends_training_back_to_the_trunk_before_it(nights: Nights) -> None:
    nights.run(3, None)
    change_list(
        nights.home.folder / "takedown.json", lambda known: known.add("http://a.test/15", "asked")
    )
    purge(nights.home)
    nights.run(4, 30)
    assert nights.begun() == 7
    assert any("the shards of night 2 changed" in line for line in nights.said)
    assert len(nights.jobs) == 2


@pytest.mark.parametrize(
    ("override", "begins", "why"),
    [
        ("pretrain.tokens=5120", 7, "tokens: 2560 → 5120"),
        ("pretrain.continual.replay=0.25", 7, "continual.replay: 0.5 → 0.25"),
        ("pretrain.schedule.peak_lr=0.001", 0, "schedule.peak_lr: 0.004 → 0.001"),
        ("pretrain.model.layers=2", 0, "model.layers: 1 → 2"),
    ],
)
def test_a_changed_recipe_goes_back_as_far_as_it_must_and_says_why(
    override: str, begins: int, why: str, nights: Nights
) -> None:
    first, second = (nights.model(record) for record in nights.records)
    said = nights.plan(3, override)
    assert f"not from the trunk of pretrain/{second.reference.key[:12]}" in said and why in said
    onward = f"continues from the trunk of pretrain/{first.reference.key[:12]} at step {begins};"
    assert (onward if begins else "trains from scratch;") in said


def test_more_tokens_go_on_from_the_first_night(nights: Nights) -> None:
    nights.run(3, None, f"pretrain.tokens={20 * STEP}")
    assert nights.begun() == 7
    assert [phase["from_step"] for phase in nights.jobs[0]["phases"]][:2] == [0, 14]


def test_a_new_tokenizer_is_made_when_asked_for_and_starts_from_scratch(nights: Nights) -> None:
    nights.run(3, None, force=["tokenizer"])
    assert nights.begun() == 0
    assert any("trains from scratch; not from" in line for line in nights.said)
    assert any("another tokenizer" in line for line in nights.said)


def test_a_longer_decay_alone_goes_on_from_tonights_own_trunk(nights: Nights) -> None:
    last = trunks(nights.records[1:], nights)
    nights.run(2, 20, f"pretrain.continual.decay_tokens={5 * STEP}")
    assert nights.begun() == last[0] and nights.jobs[-1]["steps"] == last[0] + 5


def edit(code: Path) -> None:
    path = code / "training" / "schedule.py"
    path.write_text(path.read_text() + "\n\nUNUSED = 1\n")


def test_older_codes_trunk_is_gone_on_from_and_named_in_the_key(nights: Nights, code: Path) -> None:
    old = nights.model(nights.records[1])
    edit(code)
    assert "trains from scratch" in nights.plan(3, "policy.code_changed=rerun")
    third = nights.run(3, None)
    assert nights.begun() == old.manifest["counts"]["trunk_steps"]
    made = nights.model(third)
    assert made.manifest["contents"]["inherited"] == [old.reference.content]
    assert any("which older code made (llm/training/schedule.py edited)" in s for s in nights.said)
    assert nights.plan(3) == "cached"
    nights.run(4, 30, until="tokenize")
    said = nights.plan(4)
    assert "input inherited changed" in said and "which older code made (further back)" in said
    assert f"trunk of pretrain/{made.reference.key[:12]}" in said


def test_an_earlier_night_run_again_moves_no_pointer_back(nights: Nights) -> None:
    before = nights.home.runs.pointer(POINTER)
    nights.run(1, 14)
    assert nights.home.runs.pointer(POINTER) == before
    assert len(nights.jobs) == 1


def test_the_same_night_twice_at_once_is_trained_once(nights: Nights) -> None:
    nights.write(26)
    records: list[RunRecord] = []
    threads = [
        threading.Thread(target=lambda: records.append(nights.run(3, None))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(nights.jobs) == 1
    assert len({nights.model(record).reference for record in records}) == 1


def test_garbage_collection_leaves_the_trunk(nights: Nights) -> None:
    last = trunks(nights.records[1:], nights)[0]
    for path in (nights.home.folder / "runs").glob("*.json"):
        record = json.loads(path.read_text())
        if record["snapshot"] == "2026-01-02":
            path.write_text(json.dumps({**record, "stages": {}}))
    collect(nights.home.store, nights.home.runs, find_garbage(nights.home.store, nights.home.runs))
    pointer = nights.home.runs.pointer(POINTER)
    assert pointer and pointer["steps"] == last
    reference = Reference.from_json(pointer["model"])
    assert nights.home.store.find(reference.step, reference.key) is not None


def test_nights_that_stand_alone_cannot_follow_each_other() -> None:
    with pytest.raises(RecipeError, match=r"crawl\.nights must be accumulate"):
        load_recipe("nightly", ["pretrain.continual={}", "crawl.nights=alone"])

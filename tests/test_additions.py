"""How many files it takes to add something: each is added to a copy of the project, and used there."""

import itertools
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from tests.llm.corpus.cleaning import clean
from tests.llm.training.finetune.talks import CONTEXT, byte_tokenizer, conversation

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("llm", "tasks", "flows", "recipes")


class Copy:
    """A copy of the project in which files can be added and edited, and what was touched is known."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: set[str] = set()
        for name in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)

    def add(self, path: str, text: str) -> None:
        assert not (self.folder / path).exists()
        (self.folder / path).write_text(text)
        self.touched.add(path)

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        assert text.count(old) == 1, f"{path} has {old!r} {text.count(old)} times"
        (self.folder / path).write_text(text.replace(old, new))
        self.touched.add(path)

    def run(self, *command: str, at: Path | None = None) -> str:
        """Standard output of Python with the copy's packages and no others of ours."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=at or self.folder,
            env={
                **os.environ,
                "PYTHONPATH": str(self.folder),
                "PENSTOCK_HOME": str(self.folder / "home"),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "project")


TEXTS = {
    "calm": "The river rose in the night, and the people of the lower town carried their beds uphill. ",
    "loud": "THE RIVER ROSE IN THE NIGHT, AND THE PEOPLE OF THE LOWER TOWN CARRIED THEIR BEDS. ",
}
TEXT = TEXTS["calm"] * 4
DECIDE = """
import sys
from pathlib import Path
from llm.corpus.decide import DecideAll, decide
from llm.recipe import load_recipe
from llm.step import Context
root = Path(sys.argv[1])
filters = load_recipe("mine.yaml").clean.filters
inputs = {name: [root / folder] for name, folder in (
    ("documents", "extract-a"), ("signals", "signals-a"), ("duplicates", "duplicates")
)}
(root / "out").mkdir()
decide(DecideAll(shards=("a",), filters=filters), inputs, Context(out=root / "out", work=root))
"""
READ = """
import sys
from pathlib import Path
from llm.corpus.sources import hook
from llm.recipe import load_recipe
from llm.step import Context
source = load_recipe("mine.yaml").crawl.sources["notes"]
out = Path("out")
out.mkdir()
print(hook.read(source, {}, Context(out=out, work=out)).counts["pages"])
"""
TUNE = """
import json, shutil, sys
from pathlib import Path
from llm.machine import Machine
from llm.recipe import load_recipe
from llm.step import Reporter
from tasks.commands.local import LocalRun
from tasks.engine.home import Home
from tasks.engine.run import Options
from tasks.stages.finetune import finetune
home, base = Home(Path("home")), Path(sys.argv[1])
recipe = load_recipe("mine.yaml", stages=("finetune",))
with home.store.work("pretrain", "0" * 64) as folder:
    shutil.copytree(base, folder / "out")
    manifest = {"key": "0" * 64, "step": "pretrain", "label": "", "content": "1" * 64, "parts": {},
        "counts": {}, "summary": "", "seconds": 0.0, "values": {}, "identity": {}, "inputs": {},
        "contents": {}, "fingerprint": {"modules": {}, "libraries": {}}, "made": {"at": 0.0}}
    made = home.store.commit(folder / "out", manifest, "2" * 64).reference
run = LocalRun("finetune", recipe, "today", home.store, home.runs, Machine(device="cpu"), Options())
run.report = Reporter()
outputs = finetune(run, {"pretrain": {"model": {"base": made}}})
found = {name: {**run.counts(outputs["rows"][name]), **run.counts(one)} for name, one in outputs["model"].items()}
print(json.dumps(found))
"""
KEYS = """
from llm.fingerprint import fingerprint
from llm.parts import chosen, modules
instruct = modules(chosen("task", ["instruct"]))
print(fingerprint("llm.training.finetune.step", *instruct).digest,
      fingerprint("llm.training.pretrain.step").digest, fingerprint("llm.examples.files").digest)
"""


def test_a_task_is_a_file_and_a_line(copy: Copy, tmp_path: Path) -> None:
    before = copy.run("-c", KEYS)
    [file, registered] = (ROOT / "docs/finetuning.md").read_text().split("```python\n")[1:]
    copy.add("llm/training/finetune/backwards.py", file.partition("```")[0])
    line = '        "instruct": "llm.training.finetune.instruct:Instruct",\n'
    more = " " * 8 + registered.splitlines()[1] + "\n"
    copy.edit("llm/registry.py", line, line + more)
    assert len(copy.touched) == 2
    assert copy.run("-c", KEYS) == before, "another task makes nothing again"

    # Both kinds, of which the first may be left out, through the recipe, the stage and the step.
    base = write_base(tmp_path / "base")
    (tmp_path / "mine.yaml").write_text(
        "extends: base\nname: mine\n"
        'crawl: {sources: {notes: {type: files, path: "*.txt"}}}\n'
        f"pretrain: {{model: {{context_length: {CONTEXT}}}}}\n"
        "finetune:\n"
        f"  - {{name: ask, data: talks.jsonl, steps: 2, batch_tokens: {4 * CONTEXT}}}\n"
        "  - {name: turn, task: backwards, data: words.jsonl, steps: 40, schedule: {peak_lr: 0.01}, "
        f"batch_tokens: {4 * CONTEXT}}}\n"
    )
    (tmp_path / "one.txt").write_text(TEXT)
    words = ["".join(letters) for letters in itertools.product("abcd", repeat=3)]
    talks = [{"messages": conversation(number)} for number in range(10)]
    for name, rows in (("talks", talks), ("words", [{"word": word} for word in words])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = json.loads(copy.run("-c", TUNE, str(base), at=tmp_path).splitlines()[-1])
    assert counts["ask"]["steps"] == 2
    turned = counts["turn"]
    assert turned["train"]["examples"] + turned["validation"]["examples"] == len(words)
    # Three letters and what ends them.
    assert turned["train"]["learned_tokens"] == 4 * turned["train"]["examples"]
    assert turned["validation_loss"]["before"] == pytest.approx(math.log(260), rel=0.05)
    assert (
        turned["validation_loss"]["after"] < 2.5
    )  # of four letters, each as likely, it would be 1.39

    fields = copy.run("-m", "flows.cli", "schema")
    assert "finetune.sign" in fields
    wrong = copy.run("-c", WRONG, at=tmp_path)
    assert "finetune.1.task: must be backwards, classify, " in wrong
    assert "not 'backward': did you mean backwards?" in wrong


WRONG = """
from pathlib import Path
from llm.recipe import RecipeError, load_recipe
Path("mine.yaml").write_text(Path("mine.yaml").read_text().replace("task: backwards", "task: backward"))
try:
    load_recipe("mine.yaml", stages=("finetune",))
except RecipeError as error:
    print(error)
"""


def write_base(artifact: Path) -> Path:
    """An artifact with a small untrained model of bytes."""
    tokenizer = byte_tokenizer()
    artifact.mkdir()
    tokenizer.save(str(artifact / "tokenizer.json"))
    settings = ModelSettings(layers=2, d_model=32, heads=2, context_length=CONTEXT)
    model = Decoder(settings.resolve(tokenizer.get_vocab_size()))
    model.initialise(seed=0)
    folder.save(model, artifact / "model", artifact / "tokenizer.json")
    return artifact


LAYOUT = '''"""A layout for decoders with a cap on their logits, which no other here can say."""

import dataclasses
from pathlib import Path
from typing import Any

from llm.models.config import ModelConfig
from llm.models.layouts.fit import outside
from llm.models.layouts.table import Stored


def misfits(layout: str, config: ModelConfig) -> list[str]:
    """The fields that keep a model out of the layout."""
    return outside(config, {"architecture": ("decoder",), "logit_soft_cap": (30.0,)})


def table(config: ModelConfig, names: list[str]) -> dict[str, Stored]:
    """Every tensor has its parameter's name in capitals."""
    return {name.upper(): Stored((name,)) for name in names}


def canonical(name: str, config: ModelConfig) -> str | None:
    """The table's name."""
    return name


def repeats(name: str) -> str | None:
    """No tensor repeats another."""
    return None


def may_lack(fields: dict[str, Any]) -> tuple[str, ...]:
    """A file has all."""
    return ()


def config_json(config: ModelConfig) -> dict[str, Any]:
    """Every field."""
    return {"model_type": "capitals", "shape": dataclasses.asdict(config)}


def read_config(path: Path, fields: dict[str, Any]) -> ModelConfig:
    """What config.json describes."""
    return ModelConfig(**fields["shape"])
'''
# Which code pretraining has in either layout; a model in the new one, written and read.
LAYOUTS_OF = """
import sys
from llm.fingerprint import fingerprint
from llm.models.config import ModelSettings
from llm.parts import modules
from llm.training.pretrain.settings import PretrainSettings
from tasks.stages.pretrain import parts_of
for cap in (None, 30.0):
    model = ModelSettings(layers=1, d_model=32, logit_soft_cap=cap)
    parts = modules(parts_of(PretrainSettings(model=model)))
    print(model.export, fingerprint("llm.training.pretrain.step", *parts).digest)
"""
WRITE = """
import torch
from pathlib import Path
from safetensors import safe_open
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from llm.models import folder
from llm.models.build import build
from llm.models.config import ModelSettings
out = Path("model")
Tokenizer(WordLevel({"<|endoftext|>": 0, "a": 1})).save("tokenizer.json")
model = build(ModelSettings(layers=1, d_model=32, logit_soft_cap=30.0).resolve(vocabulary=2))
model.initialise(1)
folder.save(model, out, Path("tokenizer.json"))
with safe_open(out / "model.safetensors", "pt") as file:
    print(sorted(file.keys())[0])
again, _ = folder.load(out)
assert again.config == model.config
assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))
"""


def test_a_filter_preset_is_a_file_and_a_field(copy: Copy, tmp_path: Path) -> None:
    copy.add(
        "llm/corpus/presets/quiet.py",
        '"""The preset `quiet`: no shouting."""\n\n'
        "from llm.settings import section, setting\n\n\n"
        "@section\n"
        "class Quiet:\n"
        '    """Texts in capitals are dropped."""\n\n'
        "    max_capitals: float | None = setting(\n"
        '        default=0.5, description="Most capitals (fraction of letters).", ge=0, le=1\n'
        "    )\n",
    )
    registry = "llm/corpus/presets/registry.py"
    copy.edit(
        registry,
        "from llm.settings import",
        "from llm.corpus.presets.quiet import Quiet\nfrom llm.settings import",
    )
    last = "    fineweb2: FineWeb2 = setting(default=FineWeb2, description=_THRESHOLDS)\n"
    copy.edit(
        registry,
        last,
        last + "    quiet: Quiet = setting(default=Quiet, description=_THRESHOLDS)\n",
    )
    assert len(copy.touched) == 2

    # What the step before it made, by the code that is here: it is the same in the copy.
    root = tmp_path / "artifacts"
    clean(root, {"a": [(f"http://{name}.test/", text * 4) for name, text in TEXTS.items()]})
    (tmp_path / "mine.yaml").write_text(
        "extends: base\nname: mine\n"
        'crawl: {sources: {notes: {type: files, path: "*.txt"}}}\n'
        "clean: {filters: {presets: [quiet]}}\n"
    )
    (tmp_path / "one.txt").write_text(TEXT)
    copy.run("-c", DECIDE, str(root), at=tmp_path)
    rows = pq.read_table(root / "out" / "decisions" / "a.parquet").to_pylist()
    assert {row["url"]: row["reason"] for row in rows} == {
        "http://calm.test/": "kept",
        "http://loud.test/": "quiet.max_capitals",
    }
    # The reference has its fields.
    assert "clean.filters.quiet.max_capitals" in copy.run("-m", "flows.cli", "schema")


def test_a_source_is_one_file_of_the_user(copy: Copy, tmp_path: Path) -> None:
    (tmp_path / "my_source.py").write_text(
        f'def notes():\n    yield {{"url": "https://notes.test/1", "text": {TEXT!r}}}\n'
    )
    (tmp_path / "mine.yaml").write_text(
        "extends: base\nname: mine\n"
        'crawl: {sources: {notes: {type: hook, function: "my_source:notes"}}}\n'
    )
    assert copy.run("-c", READ, at=tmp_path) == "1\n"
    assert pq.read_table(tmp_path / "out" / "index.parquet")["url"].to_pylist() == [
        "https://notes.test/1"
    ]
    assert not copy.touched


def test_a_command_is_one_file(copy: Copy) -> None:
    copy.add(
        "flows/cli/greet.py",
        '"""`penstock greet`."""\n\n'
        "import typer\n\n\n"
        "def register(app: typer.Typer) -> None:\n"
        '    """Add the command to the command line."""\n'
        "    app.command()(greet)\n\n\n"
        'def greet(name: str = typer.Argument(help="Whom.")) -> None:\n'
        '    """Greet somebody."""\n'
        '    print(f"hello {name}")\n',
    )
    assert len(copy.touched) == 1
    assert copy.run("-m", "flows.cli", "greet", "world") == "hello world\n"
    assert "Greet somebody." in copy.run("-m", "flows.cli", "--help")


def test_a_layout_is_a_file_and_a_line_and_trains_no_other_model_again(copy: Copy) -> None:
    before, without = (line.split() for line in copy.run("-c", LAYOUTS_OF).splitlines())
    assert (before[0], without[0]) == ("qwen3", "penstock")
    copy.add("llm/models/layouts/capitals.py", LAYOUT)
    line = '        "penstock": "llm.models.layouts.own",\n'
    copy.edit(
        "llm/registry.py", line, '        "capitals": "llm.models.layouts.capitals",\n' + line
    )
    assert len(copy.touched) == 2
    after, within = (line.split() for line in copy.run("-c", LAYOUTS_OF).splitlines())
    assert after == before
    assert within[0] == "capitals" and within[1] != without[1]
    assert copy.run("-c", WRITE) == "BLOCKS.0.ATTENTION.KEY.WEIGHT\n"

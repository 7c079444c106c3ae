"""The recipes that docs/finetuning.md shows run as they stand, but for their sizes."""

import csv
import itertools
import json
import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from flows.cli import main
from llm.step import Reporter
from llm.store import Reference
from tasks.commands.local import run_locally
from tasks.engine.home import PROJECT, Home

RECIPES = dict(
    re.findall(
        r"```yaml\n# (\S+)\.yaml\n(extends:.*?)```",
        (PROJECT / "docs/finetuning.md").read_text("utf8"),
        re.DOTALL,
    )
)
SMALL = (
    "tokenizer={type: bpe, vocabulary: 400, reserve: [chat, masking, spans]}",
    "tokenize.validation.fraction=0.2",
    "pretrain.model.layers=1",
    "pretrain.model.d_model=32",
    "pretrain.model.hidden=64",
    "pretrain.model.context_length=64",
    "pretrain.batch_tokens=512",
    "pretrain.tokens=4096",
    "pretrain.schedule.warmup_tokens=1000",
    "finetune.0.epochs=4",
    "finetune.0.batch_tokens=512",
)
COMMANDS = {"german": "translate", "polite": "generate", "manners": "generate"}
SHAPES = {
    "german": ("pretrain.model.heads=2",),
    "polite": ("pretrain.model.kv_heads=null",),
    "manners": ("pretrain.model.kv_heads=null",),
}
SYLLABLES = (
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "je",
    "ki",
    "lo",
    "mu",
    "na",
    "pe",
    "ri",
    "so",
    "tu",
)
NAMES = ["".join(parts) for parts in itertools.product(SYLLABLES, SYLLABLES[::2])]
WORDS = {"cards": ("card", "pin", "chip"), "loans": ("loan", "rate", "debt")}


def write_data(folder: Path) -> None:
    """Files as the recipes name them."""
    said = [
        (f"{NAMES[number]} says my {word} {NAMES[-number]} is {state}", team)
        for number in range(40)
        for state in ("lost", "late")
        for team, words in WORDS.items()
        for word in words
    ]
    rows = (json.dumps({"message": message, "team": team}) + "\n" for message, team in said)
    (folder / "tickets.jsonl").write_text("".join(rows))
    alike = [
        (first, second, 5.0 if team == other else 1.0)
        for (first, team), (second, other) in zip(said[::3], said[7::5], strict=False)
    ]
    lines = (f"{text}\t{text[::-1]}\n" for text, _ in said[::2])
    (folder / "pairs.tsv").write_text("".join(lines))
    sides = ({"prompt": f"{text}?", "chosen": "Of course.", "rejected": "No."} for text, _ in said)
    (folder / "preferences.jsonl").write_text("".join(json.dumps(one) + "\n" for one in sides))
    talks = ({"prompt": f"{text}?", "response": f"Yes, {text}."} for text, _ in said)
    (folder / "talks.jsonl").write_text("".join(json.dumps(one) + "\n" for one in talks))
    write_gpt2(folder / "smollm", [text for text, _ in said])
    texts = (json.dumps({"text": text}) + "\n" for text, _ in said)
    (folder / "sentences.jsonl").write_text("".join(texts))
    with (folder / "pairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(alike)


def write_gpt2(folder: Path, texts: list[str]) -> None:
    """A model folder as transformers writes it, whose tokenizer knows no conversations."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    alphabet = ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(texts, trainer)
    end = "<|endoftext|>"
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end).save_pretrained(folder)
    sizes = {"n_layer": 1, "n_embd": 32, "n_head": 2, "n_positions": 64, "vocab_size": 300}
    GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).save_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("tickets", "labels.team.accuracy"),
        ("lighter", "labels.team.accuracy"),
        ("alike", "values.alike.mean_error"),
        ("german", "translations.de.chrf"),
        ("polite", "preferences.tone.accuracy"),
        ("manners", "preferences.tone.accuracy"),
    ],
)
def test_a_worked_recipe_runs_to_its_promotion(
    name: str, figure: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other, text in RECIPES.items():
        (tmp_path / f"{other}.yaml").write_text(text)
    write_data(tmp_path)
    home = Home(tmp_path / "home")
    small = (*SMALL, *SHAPES.get(name, ()))
    run_id = run_locally(home, str(tmp_path / f"{name}.yaml"), small, report=Reporter())
    stages = home.runs.load(run_id).stages
    report = Reference.from_json(stages["evaluate"]["outputs"]["report"]["all"])
    figures = json.loads((home.store.local(report) / "metrics.json").read_text())
    assert figures[figure] >= 0
    pointer = home.runs.pointer(f"champion-{name}")
    assert pointer is not None
    model = home.store.local(Reference.from_json(pointer["tuned"][0]["model"])) / "model"
    command = COMMANDS.get(name, "predict")
    with pytest.raises(SystemExit) as left:
        main([command, "--model", str(model), "my card is lost"])
    assert not left.value.code
    assert len(capsys.readouterr().out.splitlines()) == 1

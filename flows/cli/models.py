"""Commands that use a model or bring one along: generate, chat, import."""

import json
import sys
import tempfile
from pathlib import Path

import typer
from rich.console import Console

from flows.environment import HOME
from llm.step import BadInput

MODEL = typer.Option(None, help="A model folder; default: the champion of the recipe.")
RECIPE = typer.Option(None, help="Name of the recipe whose champion it is; default: the last run.")
TOKENS = typer.Option(200, help="Tokens to generate at most (count).", min=1)
TEMPERATURE = typer.Option(0.8, help="0 takes the likeliest token each time.", min=0.0)
SEED = typer.Option(0, help="The same seed gives the same text.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(generate)
    app.command()(chat)
    app.command(name="import")(import_model)


def generate(
    prompt: str = typer.Argument(help="The beginning of the text."),
    model: Path | None = MODEL,
    recipe: str | None = RECIPE,
    tokens: int = TOKENS,
    temperature: float = TEMPERATURE,
    seed: int = SEED,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Continue a text with the base model."""
    from llm.serving.writing import Writer

    writer = Writer(find_model("base", model, recipe))
    pieces = []
    if not as_json:
        print(prompt, end="", flush=True)
    for piece in writer.complete(prompt, tokens, temperature, seed):
        pieces.append(piece)
        if not as_json:
            print(piece, end="", flush=True)
    print(json.dumps({"prompt": prompt, "text": "".join(pieces)}) if as_json else "")


def chat(
    model: Path | None = MODEL,
    recipe: str | None = RECIPE,
    tokens: int = TOKENS,
    temperature: float = typer.Option(0.0, help="0 takes the likeliest token each time.", min=0.0),
    seed: int = SEED,
) -> None:
    """Ask the fine-tuned model, line by line; an empty line or Ctrl-D ends it."""
    from llm.serving.writing import Writer

    writer = Writer(find_model("tuned", model, recipe))
    console = Console()
    asks = sys.stdin.isatty()
    while True:
        try:
            question = console.input("[bold]> [/bold]") if asks else input()
        except EOFError:
            break
        if not question.strip():
            break
        # Each question stands alone: the model was tuned on single questions.
        for piece in writer.answer(
            [{"role": "user", "content": question}], tokens, temperature, seed
        ):
            print(piece, end="", flush=True)
        print()


def import_model(
    model: Path = typer.Argument(help="A model of llama2.c (.bin)."),
    tokenizer: Path = typer.Argument(
        help="Its tokenizer, of any kind that tokenizer.import reads."
    ),
    folder: Path = typer.Argument(help="The model folder to write."),
) -> None:
    """Turn a model of llama2.c into a model folder, as transformers reads it, too."""
    from llm.models import llama2c
    from llm.tokens.imports import read_tokenizer, tokenizer_files
    from llm.tokens.train_settings import TokenizerSettings

    if not model.is_file():
        raise BadInput(f"there is no file {model}")
    found = read_tokenizer(tokenizer_files(tokenizer), TokenizerSettings().pattern)
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "tokenizer.json"
        found.save(str(path))
        llama2c.convert(model, path, folder)
    print(folder)


def find_model(kind: str, given: Path | None, recipe: str | None) -> Path:
    """A model's folder: as given, or the champion of the recipe (or of the one last run).

    Where nothing was promoted yet, the newest run's. Raises BadInput.
    """
    if given is not None:
        if not (given / "config.json").is_file():
            raise BadInput(f"{given} is no model folder: it has no config.json")
        return given
    from llm.store import Reference
    from tasks.promote import champion_pointer

    stage = "pretrain" if kind == "base" else "finetune"
    for record in HOME.runs.all():
        if recipe not in (None, record.recipe):
            continue
        champion = HOME.runs.pointer(champion_pointer(record.recipe))
        if champion is not None and champion.get(kind):
            return HOME.store.local(Reference.from_json(champion[kind])) / "model"
        outputs = record.outputs(stage)
        if outputs and outputs["model"]:
            return HOME.store.local(next(iter(outputs["model"].values()))) / "model"
    raise BadInput("no such model yet: run `penstock run demo`, or name a folder with --model")

"""Commands that use a model or bring one along: generate, chat, predict, translate, import."""

import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from flows.cli.printing import harmless
from flows.environment import HOME
from llm.step import BadInput

if TYPE_CHECKING:
    from llm.serving.writing import Writer

AT_ONCE = 256  # texts that are read together

MODEL = typer.Option(
    None,
    help="A model folder, or a model's name: base, or a task of finetune; default: the champion's.",
)
RECIPE = typer.Option(None, help="Use the champion of this recipe; default: that of the last run.")
TOKENS = typer.Option(200, help="Tokens to generate at most (count).", min=1)
TEMPERATURE = typer.Option(0.8, help="0 takes the likeliest token each time.", min=0.0)
SEED = typer.Option(0, help="The same seed gives the same text.")
STOP = typer.Option(None, help="End the text before this string; may be given several times.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(generate)
    app.command()(chat)
    app.command()(predict)
    app.command()(translate)
    app.command(name="import")(import_model)


def generate(
    prompt: str = typer.Argument(help="The beginning of the text."),
    model: str | None = MODEL,
    recipe: str | None = RECIPE,
    tokens: int = TOKENS,
    temperature: float = TEMPERATURE,
    seed: int = SEED,
    stop: list[str] | None = STOP,
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Continue a text with the base model."""
    writer = _writer("base", model, recipe)
    pieces = []
    if not as_json:
        print(harmless(prompt), end="", flush=True)
    for piece in writer.complete(prompt, tokens, temperature, seed, stop or ()):
        pieces.append(piece)
        if not as_json:
            print(harmless(piece), end="", flush=True)
    print(json.dumps({"prompt": prompt, "text": "".join(pieces)}) if as_json else "")


def chat(
    model: str | None = MODEL,
    recipe: str | None = RECIPE,
    tokens: int = TOKENS,
    temperature: float = typer.Option(0.0, help="0 takes the likeliest token each time.", min=0.0),
    seed: int = SEED,
    stop: list[str] | None = STOP,
) -> None:
    """Ask a fine-tuned model, line by line; an empty line or Ctrl-D ends it."""
    writer = _writer("tuned", model, recipe)
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
            [{"role": "user", "content": question}], tokens, temperature, seed, stop or ()
        ):
            print(harmless(piece), end="", flush=True)
        print()


def predict(
    texts: list[str] = typer.Argument(
        None,
        help="Texts; of a pair, both with a tab between. Default: the lines of standard input.",
    ),
    model: str | None = MODEL,
    recipe: str | None = RECIPE,
) -> None:
    """Say labels or values of texts with a fine-tuned model, as a line of JSON each."""
    from llm.serving.predicting import Predictor

    predictor = Predictor(_tuned(model, recipe))
    for batch in _batches(texts):
        asked = [one for one in batch if one.strip()]
        pairs = [(first, second) for first, _, second in (one.partition("\t") for one in asked)]
        for text, said in zip(asked, predictor.predict(pairs), strict=True):
            print(json.dumps({"text": text, **said}, ensure_ascii=False), flush=True)


def translate(
    texts: list[str] = typer.Argument(
        None, help="Texts. Default: the lines of standard input, in the same order."
    ),
    model: str | None = MODEL,
    recipe: str | None = RECIPE,
    into: str | None = typer.Option(
        None, help="Language to translate into, of a model that knows both directions."
    ),
) -> None:
    """Translate texts with a fine-tuned model, a line each."""
    from llm.training.finetune.translating import Translator

    translator = Translator(_tuned(model, recipe))
    for asked in _batches(texts):
        for said in translator.translate(asked, into):
            print(harmless(" ".join(said.split())), flush=True)


def _tuned(model: str | None, recipe: str | None) -> Path:
    """The folder of the tuned model that is meant; which it is, on standard error, where there are others."""
    from tasks.commands.models import find_model

    folder, which = find_model(HOME, "tuned", model, recipe)
    if which:
        Console(stderr=True).print(which, highlight=False, markup=False)
    return folder


def _batches(texts: Sequence[str] | None) -> Iterator[list[str]]:
    """The texts, or else the lines of standard input, some at a time."""
    lines = iter(texts or (line.rstrip("\r\n") for line in sys.stdin))
    while batch := list(itertools.islice(lines, AT_ONCE)):
        yield batch


def import_model(
    model: Path = typer.Argument(help="A model of llama2.c (.bin)."),
    tokenizer: Path = typer.Argument(
        help="Its tokenizer, of any kind that tokenizer.import reads."
    ),
    folder: Path = typer.Argument(help="The model folder to write."),
) -> None:
    """Convert a llama2.c model into a model folder, which transformers reads, too."""
    from llm.models import llama2c
    from llm.tokens.imports import read_tokenizer, tokenizer_files

    if not model.is_file():
        raise BadInput(f"there is no file {model}")
    found = read_tokenizer(tokenizer_files(tokenizer), None)
    with tempfile.TemporaryDirectory() as aside:
        path = Path(aside) / "tokenizer.json"
        found.save(str(path))
        llama2c.convert(model, path, folder)
    print(folder)


def _writer(kind: str, model: str | None, recipe: str | None) -> "Writer":
    from llm.serving.writing import Writer
    from tasks.commands.models import find_model

    folder, which = find_model(HOME, kind, model, recipe)
    if which:
        Console(stderr=True).print(which, highlight=False, markup=False)
    return Writer(folder)

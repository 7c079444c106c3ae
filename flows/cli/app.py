"""`penstock`: run recipes and look at what they made, from the command line.

Exit codes: 0 done, 1 the run failed, 2 the recipe or the arguments are wrong, 3 `verify` found
damage, 130 interrupted.
"""

import os
import sys
import traceback
from typing import Any

import typer
from rich.console import Console

from flows.cli import corpus, ladder, logs, models, recipe, runs, store, takedown
from llm.step import BadInput

app = typer.Typer(
    name="penstock",
    help="Text that keeps changing, turned into language models.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True)
FAILED, WRONG, INTERRUPTED = 1, 2, 130
# What arguments that are wrong raise. Typer has had a copy of click of its own since 0.26; the
# exceptions of another click, installed beside it, are none of these.
USAGE = next(one for one in typer.BadParameter.__mro__ if one.__name__ == "ClickException")


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Text that keeps changing, turned into language models."""
    if context.invoked_subcommand is None:
        print(context.get_help())


runs.register(app)
store.register(app)
logs.register(app)
models.register(app)
corpus.register(app)
takedown.register(app)
ladder.register(app)
recipe.register(app)


def main(arguments: list[str] | None = None) -> None:
    """The entry point: errors are one clear line, the traceback comes with --debug."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or bool(os.environ.get("PENSTOCK_DEBUG"))
    try:
        # Typer turns Ctrl-C into an exit code of its own.
        code: Any = app([item for item in given if item != "--debug"], standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except typer.Exit as stop:
        code = stop.exit_code
    except BaseException as error:
        code = _explain(error, debug)
    sys.exit(code if isinstance(code, int) else 0)


def _explain(error: BaseException, debug: bool) -> int:
    if isinstance(error, SystemExit):
        raise error
    # Ctrl-C is an Abort to typer; SIGTERM within a flow is Prefect's own exception.
    interruptions = (KeyboardInterrupt, typer.Abort)
    if isinstance(error, interruptions) or type(error).__name__ == "TerminationSignal":
        console.print("interrupted: what is finished is kept; run again to go on")
        return INTERRUPTED
    if debug:
        traceback.print_exception(error)
    if isinstance(error, USAGE):
        error.show()  # type: ignore[attr-defined]
        return WRONG
    from flows.service.server import ServerError

    clear = isinstance(error, BadInput | ServerError)
    message = str(error) if clear else f"{type(error).__name__}: {error}"
    console.print(f"error: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    if not clear and not debug:
        console.print("(--debug shows the traceback)", highlight=False)
    return WRONG if isinstance(error, BadInput) else FAILED

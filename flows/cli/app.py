"""`penstock`: run recipes and look at what they made, from the command line.

Exit codes: 0 done, 1 the run failed, 2 the recipe or the arguments are wrong, 3 `verify` found
damage, 130 interrupted.
"""

import importlib
import os
import pkgutil
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import typer
from rich.console import Console

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


# The order of the help: files that are not listed here come last.
_FIRST = (
    "runs",
    "status",
    "store",
    "accept",
    "logs",
    "models",
    "corpus",
    "takedown",
    "ladder",
    "recipe",
)


def _groups() -> list[ModuleType]:
    """The files beside this one that have commands: a new file there is all that a command takes."""
    names = [name for _, name, _ in pkgutil.iter_modules([str(Path(__file__).parent)])]
    names.sort(key=lambda name: (_FIRST.index(name) if name in _FIRST else len(_FIRST), name))
    here = __name__.rpartition(".")[0]
    modules = (
        importlib.import_module(f"{here}.{name}")
        for name in names
        if name not in ("app", "__main__")
    )
    return [module for module in modules if hasattr(module, "register")]


for group in _groups():
    group.register(app)


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
        console.print("interrupted: what is finished is kept; run again to continue")
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

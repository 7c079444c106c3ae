"""How the command line answers to what is typed: no arguments, wrong ones, its version."""

from importlib.metadata import version

import pytest

from flows.cli import main


def typed(*arguments: str) -> int | None:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    code = left.value.code
    assert code is None or isinstance(code, int)
    return code


def test_penstock_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert not typed()
    said = capsys.readouterr()
    assert "Usage" in said.out and "plan" in said.out
    assert not said.err


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert not typed("--version")
    assert capsys.readouterr().out.strip() == f"penstock {version('penstock')}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--bogus"], "No such option: --bogus"),
        (["nosuch"], "No such command 'nosuch'"),
        (["show"], "Missing argument"),
        (["status", "--count", "many"], "Invalid value for '--count'"),
    ],
)
def test_a_wrong_argument_is_named_without_the_name_of_an_exception(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(*arguments) == 2
    shown = capsys.readouterr().err
    assert said in shown and "Usage:" in shown
    assert "traceback" not in shown and "NoSuch" not in shown

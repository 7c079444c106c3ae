"""A project's home: closed to others, open to those whom its owner lets in."""

import os
import stat
from pathlib import Path

import pytest

from tasks.engine.home import Home


@pytest.mark.parametrize("mask", [0o022, 0o000, 0o077])
def test_a_new_home_is_its_owners_alone(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        home = Home(tmp_path / "deep" / "home")
        assert home.store and home.runs
    finally:
        os.umask(before)
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700


def test_an_old_home_is_closed_to_all_but_its_group(tmp_path: Path) -> None:
    for found, kept in ((0o755, 0o750), (0o770, 0o770), (0o700, 0o700)):
        tmp_path.chmod(found)
        assert Home(tmp_path).runs
        assert stat.S_IMODE(tmp_path.stat().st_mode) == kept

"""The unit for systemd, as systemd itself reads it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tasks.engine.home import PROJECT

UNIT = PROJECT / "deploy" / "penstock.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("spoilt", [False, True])
def test_systemd_has_nothing_to_say_about_the_unit(tmp_path: Path, spoilt: bool) -> None:
    text = UNIT.read_text()
    assert "/srv/penstock/.venv/bin/penstock" in text
    text = text.replace("/srv/penstock/.venv/bin/penstock", "/bin/true")
    if spoilt:
        text = text.replace("KillMode=", "KilMode=")
    unit = tmp_path / "penstock.service"
    unit.write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    found = [
        line for line in (said.stdout + said.stderr).splitlines() if "penstock.service" in line
    ]
    assert bool(found) == spoilt, said.stderr

#!/usr/bin/env bash
# ruamel.yaml 0.19.1, told that YAML is version 1.2, still makes a date of 2026-01-02.
#
# The core schema of YAML 1.2 (YAML 1.2.2, section 10.3.2) has no dates: 2026-01-02 is a string. With
# `yaml.version = (1, 2)` the library follows that version for `no` and `on` (words), 017 (a decimal
# number) and 0o17 (an octal one), so one would guess that a date is a string as well. It is a
# datetime.date, in documents that begin with `%YAML 1.2` too. A setting that is named after a day
# therefore arrives as a date, and fails where text is asked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "ruamel.yaml==0.19.1"
"$folder/venv/bin/python" - <<'END'
import datetime

from ruamel.yaml import YAML

TEXT = "day: 2026-01-02\nmoment: 2026-01-02T03:04:05Z\nword: no\ndecimal: 017\noctal: 0o17\n"
for head in ("", "%YAML 1.2\n---\n"):
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 2)
    found = yaml.load(head + TEXT)
    print({name: (type(value).__name__, str(value)) for name, value in found.items()})
    assert (found["word"], found["decimal"], found["octal"]) == ("no", 17, 15), "as in YAML 1.2"
    assert type(found["day"]) is datetime.date, "by the core schema it is the text 2026-01-02"
    assert isinstance(found["moment"], datetime.datetime), "by the core schema it is text"
END

"""Encodings of files that nobody declares: how many are read right, and how fast, beside chardet alone.

    python benchmarks/encodings.py FOLDER

FOLDER holds one folder for each encoding, named after it, with a language behind a hyphen if need be,
as tests/ of chardet 5.2's source distribution does (`pip download --no-binary :all: --no-deps
chardet==5.2.0`). A file is right if the text is that of its encoding, or of a superset of it, as in
chardet's own test. Prints the files that are not, and last a line of JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unicodedata import normalize

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import chardet  # noqa: E402

from llm.corpus.reading.charset import read  # noqa: E402
from llm.corpus.reading.encodings import decode, find  # noqa: E402

_SUFFIXES = (".html", ".txt", ".xml", ".srt")


def named(folder: Path) -> str:
    """The encoding that a folder is named after."""
    name = folder.name.lower()
    while True:
        try:
            "".encode(name)
        except LookupError:
            if "-" not in name:
                return ""
            name = name.rpartition("-")[0]
        else:
            return name


def right(name: str, data: bytes, text: str) -> bool:
    """Whether a text is that of the bytes in this encoding, or in the one that browsers take for it."""
    meant = [data.decode(name, "replace")]
    label = find(name)
    if label:
        meant.append(decode(data, label))
    return any(normalize("NFKC", text) == normalize("NFKC", one) for one in meant)


def ours(data: bytes) -> str:
    """As Penstock reads a page whose server says nothing."""
    return read(data, None).text


def peer(data: bytes) -> str:
    """As chardet's answer decodes."""
    name = chardet.detect(data)["encoding"] or "ascii"
    try:
        return data.decode(name)
    except (UnicodeDecodeError, LookupError):
        label = find(name)
        return decode(data, label) if label else ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    files = [
        (named(part), path, path.read_bytes())
        for part in sorted(folder.iterdir())
        if part.is_dir() and named(part)
        for path in sorted(part.iterdir())
        if path.suffix.lower() in _SUFFIXES
    ]
    if not files:
        parser.error(f"{folder} has no folders of files named after encodings")
    size = sum(len(data) for _, _, data in files) / 1e6
    results: dict[str, dict[str, float]] = {}
    sides: dict[str, Callable[[bytes], str]] = {
        "penstock": ours,
        f"chardet {chardet.__version__}": peer,
    }
    for side, function in sides.items():
        start = time.process_time()
        texts = [function(data) for _, _, data in files]
        seconds = time.process_time() - start
        wrong = [
            path.relative_to(folder)
            for (name, path, data), text in zip(files, texts, strict=True)
            if not right(name, data, text)
        ]
        print(f"{side}: {len(files) - len(wrong)} of {len(files)} right, {size / seconds:.1f} MB/s")
        print(*(f"  {path}" for path in wrong), sep="\n")
        results[side] = {
            "right": len(files) - len(wrong),
            "mb_per_second": round(size / seconds, 2),
        }
    print(json.dumps({"files": len(files), "megabytes": round(size, 2), **results}))


if __name__ == "__main__":
    main()

"""The texts and labelled sets that docs/results.md is measured on, from a folder of reference data.

    python benchmarks/reference_texts.py ../shared/data .penstock/texts

Writes texts.jsonl, English sentences and paragraphs of all sets' training halves and of books, for an
encoder to be pretrained on; banking77-{train,test}.csv; mr-{train,test}.csv and subj-{train,test}.csv, of
which every tenth sentence of each class, from the first, is the test.
"""

import csv
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Archive, and the file of each class in it.
SENTENCES = {
    "mr": (
        "sentence_polarity",
        {"positive": "rt-polarity.pos", "negative": "rt-polarity.neg"},
    ),
    "subj": (
        "subjectivity",
        {"subjective": "quote.tok.gt9.5000", "objective": "plot.tok.gt9.5000"},
    ),
}
TEST_EVERY = 10
SHORTEST = 10  # characters of a text among instructions

Row = tuple[str, str]


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Rows of a sentence and its label."""
    with path.open("w", newline="", encoding="utf8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["sentence", "label"])
        writer.writerows(rows)


def sentences(archive: Path, files: dict[str, str]) -> tuple[list[Row], list[Row]]:
    """Those for training and those for the test, of a class each file."""
    train, test = [], []
    with zipfile.ZipFile(archive) as pack:
        for label, name in files.items():
            text = pack.read(f"{archive.stem}/{name}").decode("latin-1")
            rows = [(line.strip(), label) for line in text.splitlines() if line.strip()]
            test += rows[::TEST_EVERY]
            train += [row for number, row in enumerate(rows) if number % TEST_EVERY]
    return train, test


def texts(data: Path) -> Iterator[str]:
    """Texts that belong to no labelled set: instructions, English sentences of pairs, books, articles."""
    with (data / "finetune/stsb/stsb-en-train.csv").open(newline="") as stream:
        yield from (cell for row in csv.reader(stream) for cell in row[:2])
    pairs = (data / "finetune/tatoeba_en_de/deu.txt").read_text("utf-8-sig").splitlines()
    yield from dict.fromkeys(line.split("\t")[0] for line in pairs)
    for path in sorted((data / "finetune/instruct").glob("*.jsonl")):
        for line in path.open():
            yield from (text for text in _strings(json.loads(line)) if len(text) > SHORTEST)
    books = sorted((data / "lm/gutenberg").rglob("*.txt"))
    articles = sorted(path for path in (data / "lm/wikitext2raw").rglob("*") if path.is_file())
    for path in (*books, *articles):
        for paragraph in re.split(r"\n\s*\n", path.read_text(errors="ignore")):
            yield " ".join(paragraph.split())


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)


def main(data: Path, folder: Path) -> None:
    """Write the sets of the reference data into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    for split in ("train", "test"):
        with (data / f"finetune/banking77/{split}.csv").open(newline="") as stream:
            rows = [(row["text"], row["category"]) for row in csv.DictReader(stream)]
        write_csv(folder / f"banking77-{split}.csv", rows)
        if split == "train":
            found += [text for text, _ in rows]
    for name, (archive, files) in SENTENCES.items():
        train, test = sentences(data / f"finetune/nltk/{archive}.zip", files)
        write_csv(folder / f"{name}-train.csv", train)
        write_csv(folder / f"{name}-test.csv", test)
        found += [text for text, _ in train]
    with zipfile.ZipFile(data / "finetune/nltk/movie_reviews.zip") as pack:
        reviews = [name for name in pack.namelist() if name.endswith(".txt")]
        found += [pack.read(name).decode("latin-1") for name in sorted(reviews)]
    found += texts(data)
    with (folder / "texts.jsonl").open("w", encoding="utf8") as stream:
        for text in found:
            if text.strip():
                stream.write(json.dumps({"text": text.strip()}, ensure_ascii=False) + "\n")
    print(f"{folder}: {len(found):,} texts")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""Split a file of sentence pairs (source, tab, target) for the recipe tatoeba: by source, so that no
sentence of the test has a translation in training.

    python benchmarks/split_pairs.py deu.txt .penstock/tatoeba

Writes train.tsv, test.tsv (5 % of the sources, by their hash) and text.jsonl, the sentences of
train.tsv alone, a hundred to a document, for the tokenizer.
"""

import hashlib
import json
import sys
from itertools import islice
from pathlib import Path

TEST_SHARE = 0.05
SENTENCES = 100  # in a document


def is_test(source: str) -> bool:
    """Whether a sentence is in the test, with all its translations; case and white space say nothing."""
    plain = " ".join(source.casefold().split())
    digest = hashlib.blake2b(plain.encode(), digest_size=8).digest()
    return int.from_bytes(digest) < TEST_SHARE * 2**64


def main(pairs: Path, folder: Path) -> None:
    """Split `pairs` into files in `folder`."""
    cells = (line.split("\t") for line in pairs.read_text("utf-8-sig").splitlines())
    # A first line of numbers says which column is which.
    rows = [(one[0], one[1]) for one in cells if len(one) > 1 and not one[0].isdigit()]
    splits = {"train": [one for one in rows if not is_test(one[0])]}
    splits["test"] = [one for one in rows if is_test(one[0])]
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in splits.items():
        (folder / f"{name}.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in part), "utf8")
        print(f"{folder / name}.tsv: {len(part):,} pairs")
    with (folder / "text.jsonl").open("w", encoding="utf8") as stream:
        for side in (0, 1):
            sentences = iter(dict.fromkeys(one[side] for one in splits["train"]))
            while some := list(islice(sentences, SENTENCES)):
                stream.write(json.dumps({"text": "\n".join(some)}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

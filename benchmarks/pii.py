"""Personal data: precision and recall by kind on labelled texts, and megabytes a second.

    python benchmarks/pii.py --labelled synth_dataset_v2.json [--texts FILE ...]

`--labelled` is a file as Presidio's evaluation set has it: a JSON list of objects with full_text and
spans (entity_type, start_position, end_position). A finding counts only when both ends agree.
`--texts` are plain text files to measure speed on, and to see how much is found where little should
be; without them, speed is measured on the sources of the standard library.
"""

import argparse
import json
import statistics
import sys
import sysconfig
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from llm.corpus.pii import KINDS, find

LABELS = {
    "EMAIL_ADDRESS": "email",
    "IP_ADDRESS": "ip",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
}


def agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    """By kind, how many labelled spans were right, missed, and how many findings were wrong."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        gold = {
            (span["start_position"], span["end_position"], LABELS[span["entity_type"]])
            for span in row["spans"]
            if span["entity_type"] in LABELS
        }
        got = {tuple(one) for one in find(row["full_text"])}
        for name, spans in (("right", gold & got), ("wrong", got - gold), ("missed", gold - got)):
            for _, _, kind in spans:
                counts[kind][name] += 1
    return counts


def speed(texts: Sequence[str], times: int = 3) -> float:
    """Megabytes a second of `find` over these texts, on one core: the median of some runs."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        for text in texts:
            find(text)
        seconds.append(time.perf_counter() - start)
    return size / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labelled", type=Path, required=True, help="Presidio's evaluation set")
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help="plain text files")
    arguments = parser.parse_args()
    rows = json.loads(arguments.labelled.read_text())
    counts = agreement(rows)
    print(f"{'kind':12} {'labelled':>8} {'precision':>9} {'recall':>7}")
    kinds = {}
    for kind in KINDS:
        right, wrong, missed = (counts[kind][name] for name in ("right", "wrong", "missed"))
        if right + wrong + missed:
            precision, recall = right / max(1, right + wrong), right / max(1, right + missed)
            kinds[kind] = {"precision": round(precision, 4), "recall": round(recall, 4)}
            print(f"{kind:12} {right + missed:8} {precision:9.3f} {recall:7.3f}")
    paths = arguments.texts or sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(errors="replace") for path in paths]
    found = Counter(one.kind for text in texts for one in find(text))
    rate = speed(texts)
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{size:.1f} MB of other text: {rate:.1f} MB/s a core; found {dict(found)}")
    line = {"benchmark": "pii", "unit": "MB/s", "ours": round(rate, 2), "kinds": kinds}
    print(json.dumps(line))


if __name__ == "__main__":
    main()

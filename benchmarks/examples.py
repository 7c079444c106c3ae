"""Conversations made into training rows, beside an earlier revision: seconds, memory, bytes a position.

    python benchmarks/examples.py REVISION [--conversations 40000] [--rounds 3]

Each revision, in a process of its own, reads the same conversations, encodes and packs them as the
step `finetune` does, and then reads every row once. Counted are the seconds of both, the largest
resident memory while preparing above that of the imported libraries, and the size of the files on
disk, each a position of the rows (padding included). Checks that both have the same rows. The median of the rounds;
the last line is JSON.
"""

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
CONTEXT = 256
COUNT = """
import hashlib, json, sys, threading, time
from pathlib import Path
import numpy as np
from tokenizers import Tokenizer

class Peak(threading.Thread):
    "The most resident memory above that at the start (bytes), looked at every 5 ms."

    def __init__(self):
        super().__init__(daemon=True)
        self.start_bytes = self.now()
        self.most, self.done = 0, False
        self.start()

    def now(self):
        line = next(l for l in open("/proc/self/status") if l.startswith("RssAnon"))
        return int(line.split()[1]) * 1024

    def run(self):
        while not self.done:
            self.most = max(self.most, self.now() - self.start_bytes)
            time.sleep(0.005)

def told(begin, peak, work, rows, seconds):
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(one).tobytes() for one in rows))
    size = sum(path.stat().st_size for path in work.iterdir())
    print(json.dumps({
        "prepare": seconds, "read": time.perf_counter() - begin - seconds, "memory": peak.most,
        "disk": size, "positions": rows[0].size, "rows": digest.hexdigest()}))

data, work, tokenizer = Path(sys.argv[1]), Path(sys.argv[2]), Tokenizer.from_file(sys.argv[3])
context = int(sys.argv[4])
"""
BEFORE = """
from llm.training.conversations import Packed, pack, padding_id, read
peak, begin = Peak(), time.perf_counter()
examples, _ = read(data / "train.jsonl", tokenizer, context)
pack(examples, context, padding_id(tokenizer)).save(work / "rows.npy")
del examples
seconds, peak.done = time.perf_counter() - begin, True
packed = Packed.open(work / "rows.npy")
rows = [np.concatenate([np.array(one[first:first + 16]) for first in range(0, len(one), 16)])
        for one in (packed.tokens, packed.targets, packed.segments)]
told(begin, peak, work, rows, seconds)
"""
NOW = """
from llm.examples.shards import Shard
from llm.tokens.special import PADDING, id_count
from llm.training.finetune.instruct import Instruct, InstructSettings
from llm.training.finetune.packed import Files, Packed, write
peak, begin = Peak(), time.perf_counter()
files, values = Files.of(work), InstructSettings(name="ask", data="train.arrow")
examples = Instruct().encode(values, Shard.open(data / "train.arrow"), tokenizer)
write(files, examples, context, id_count(tokenizer))
seconds, peak.done = time.perf_counter() - begin, True
packed = Packed(files, context, tokenizer.token_to_id(PADDING))
parts = [packed.read(np.arange(first, min(first + 16, len(packed))))
         for first in range(0, len(packed), 16)]
rows = [np.concatenate([part[name] for part in parts]) for name in ("tokens", "targets", "segments")]
told(begin, peak, work, rows, seconds)
"""


def write_data(folder: Path, conversations: int) -> None:
    """The same conversations as JSON lines and as a shard, and a tokenizer that learned from them."""
    sys.path.insert(0, str(HERE))
    from llm.examples.settings import CONVERSATIONS
    from llm.examples.shards import Example, ShardWriter
    from llm.tokens.bpe import train_bpe
    from llm.tokens.patterns import PATTERNS

    words = sorted(
        {w for path in HERE.glob("docs/*.md") for w in path.read_text().split() if w.isalpha()}
    )
    chance = random.Random(0)

    def text(most: int) -> str:
        return " ".join(chance.choice(words) for _ in range(chance.randint(3, most)))

    with (
        (folder / "train.jsonl").open("w") as lines,
        ShardWriter(folder / "train.arrow", CONVERSATIONS, "train") as shard,
    ):
        for _ in range(conversations):
            messages = [
                {"role": role, "content": text(most)}
                for _ in range(chance.randint(1, 3))
                for role, most in (("user", 20), ("assistant", 60))
            ]
            lines.write(json.dumps({"messages": messages}) + "\n")
            shard.add(Example((messages,)))
    train_bpe(words * 3, 8192, next(iter(PATTERNS))).save(str(folder / "tokenizer.json"))


def measured(checkout: Path, code: str, data: Path) -> dict[str, Any]:
    """What a revision needs for the rows."""
    with tempfile.TemporaryDirectory() as work:
        arguments = [str(data), work, str(data / "tokenizer.json"), str(CONTEXT)]
        imports = [line for line in code.splitlines() if line.startswith("from ")]
        rest = [line for line in code.splitlines() if not line.startswith("from ")]
        whole = "\n".join([*imports, COUNT, *rest])
        done = subprocess.run(
            [sys.executable, "-c", whole, *arguments],
            cwd=checkout,
            env={**os.environ, "PYTHONPATH": str(checkout)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("revision")
    parser.add_argument("--conversations", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        data, checkout = Path(aside) / "data", Path(aside) / "before"
        data.mkdir()
        write_data(data, asked.conversations)
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(checkout), asked.revision], check=True)
        try:
            rounds = [
                (measured(checkout, BEFORE, data), measured(HERE, NOW, data))
                for _ in range(asked.rounds)
            ]
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)
    if len({one["rows"] for pair in rounds for one in pair}) != 1:
        raise SystemExit("the revisions make other rows")
    positions = rounds[0][0]["positions"]
    result: dict[str, Any] = {
        "revision": asked.revision,
        "conversations": asked.conversations,
        "positions": positions,
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "pyarrow", "tokenizers")},
    }
    print(f"{positions:,} positions\n{'':<26}{'before':>10}{'now':>10}")
    for name, unit in (("prepare", 1), ("read", 1), ("memory", positions), ("disk", positions)):
        values = [statistics.median(pair[side][name] for pair in rounds) for side in (0, 1)]
        result[name] = [round(value / unit, 3) for value in values]
        shown = f"{name}, {'seconds' if unit == 1 else 'bytes a position'}"
        print(f"{shown:<26}{result[name][0]:>10.2f}{result[name][1]:>10.2f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()

"""Unigram's sums against every split there is, its result against Hugging Face's trainer, its bytes."""

import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from llm.tokens.lattice import BYTES, Lattices
from llm.tokens.patterns import PATTERNS, cut_into_bytes
from llm.tokens.substrings import LONGEST, Substrings, common_substrings
from llm.tokens.unigram import digamma, learn_tokens, train_unigram

PIECES = {
    b"abab": 3,
    b"bababa": 1,
    b"a": 5,
    b"ab\x00\x00": 2,
    b"ab": 1,
    b"once upon": 1,
    b"-" * 40: 1,
    bytes(range(200, 221)): 2,
}


def laid_out(pieces: dict[bytes, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bytes, bounds and counts."""
    ends = np.cumsum([0, *map(len, pieces)])
    return np.frombuffer(b"".join(pieces), np.uint8), ends, np.array(list(pieces.values()))


def spelled(found: Substrings, text: bytes) -> list[bytes]:
    pairs = zip(found.places.tolist(), found.lengths.tolist(), strict=True)
    return [text[place : place + length] for place, length in pairs]


def test_the_substrings_are_those_that_occur_twice_and_are_not_always_longer() -> None:
    text = b"".join(PIECES)
    found = common_substrings(*laid_out(PIECES), most=10**6)
    times: Counter[bytes] = Counter()
    after: dict[bytes, set[bytes]] = {}
    for piece, count in PIECES.items():
        for a, b in itertools.combinations(range(len(piece) + 1), 2):
            if b - a <= LONGEST:
                times[piece[a:b]] += count
                after.setdefault(piece[a:b], set()).add(piece[b : b + 1])

    def longer(one: bytes) -> bool:
        return len(after[one]) == 1 and b"" not in after[one] and len(one) < LONGEST

    wanted = {one: n for one, n in times.items() if n >= 2 and len(one) >= 2 and not longer(one)}
    names = spelled(found, text)
    assert dict(zip(names, found.counts.tolist(), strict=True)) == wanted
    covered = [-wanted[name] * len(name) for name in names]
    assert covered == sorted(covered)
    assert spelled(common_substrings(*laid_out(PIECES), most=3), text) == names[:3]
    places = itertools.chain.from_iterable(
        range(a, a + len(piece))
        for a, piece in zip(laid_out(PIECES)[1].tolist(), PIECES, strict=False)
    )
    ends = np.repeat(laid_out(PIECES)[1][1:], [len(piece) for piece in PIECES]).tolist()
    for place in places:
        here = {names[one] for one in found.found[found.starts[place] : found.starts[place + 1]]}
        rest = text[place : ends[place]]
        assert here == {name for name in names if rest.startswith(name)}


def splits(piece: bytes, tokens: dict[bytes, float]) -> Iterator[list[bytes]]:
    if not piece:
        yield []
    for size in range(1, len(piece) + 1):
        if piece[:size] in tokens:
            yield from ([piece[:size], *rest] for rest in splits(piece[size:], tokens))


def test_counts_are_those_of_all_splits_by_their_probability() -> None:
    pieces = {b"abab": 3, b"bababa": 1, b"a": 5, b"abcab": 2}
    found = common_substrings(*laid_out(pieces), most=10**6)
    lattices = Lattices(*laid_out(pieces), found)
    kept = np.ones(BYTES + len(found.counts), bool)
    kept[BYTES + 1] = False
    lattices.keep(kept)
    names = [lattices.spelled(token) for token in range(len(lattices.lengths))]
    assert len(names) == len(set(names)) == len(kept) - 1 > BYTES + 3
    scores = -np.random.default_rng(0).uniform(1, 4, len(names))
    tokens = dict(zip(names, scores.tolist(), strict=True))
    expected: Counter[bytes] = Counter()
    best: Counter[bytes] = Counter()
    for piece, count in pieces.items():
        every = list(splits(piece, tokens))
        weights = [math.exp(sum(tokens[part] for part in split)) for split in every]
        for split, weight in zip(every, weights, strict=True):
            for part in split:
                expected[part] += count * weight / sum(weights)  # type: ignore[assignment]
        for part in every[int(np.argmax(weights))]:
            best[part] += count
    wanted = [expected[name] for name in names]
    np.testing.assert_allclose(lattices.expected_counts(scores), wanted, rtol=1e-12)
    counts = lattices.best_counts(scores)
    assert counts.tolist() == [best[name] for name in names]
    total = sum(best.values())
    for token, loss in enumerate(lattices.losses(scores, counts).tolist()):
        name, times = names[token], best[names[token]]
        if token < BYTES or not times:
            assert loss == 0
            continue
        others = [split for split in splits(name, tokens) if len(split) > 1]
        instead = max(others, key=lambda split: sum(tokens[part] for part in split))
        now = sum(math.log(best[part] + times) for part in instead)
        now -= len(instead) * math.log(total + times * (len(instead) - 1))
        assert loss == pytest.approx(times * (math.log(times / total) - now))


def test_digamma_is_torchs() -> None:
    x = np.concatenate([np.linspace(0.5, 10, 200), np.logspace(1, 9, 50)])
    np.testing.assert_allclose(digamma(x), torch.digamma(torch.from_numpy(x)), 1e-11, 1e-11)


def test_of_a_repeated_word_the_word_is_learned_and_all_bytes_are_kept() -> None:
    learned = dict(learn_tokens(*laid_out({b"penstock": 50, b"pen": 1, b"stock": 1}), BYTES + 1))
    assert len(learned) == BYTES + 1
    assert learned[b"penstock"] == max(learned.values()) > math.log(0.9)
    assert len(learn_tokens(*laid_out({}), 500)) == BYTES


SCRIPT = """
import hashlib, json, sys
from llm.tokens.unigram import train_unigram
texts = json.load(sys.stdin)
if sys.argv[1] == "reversed":
    texts = texts[::-1]
tokenizer = train_unigram([texts], 400, "gpt4", ["<|endoftext|>"], workers=int(sys.argv[2]))
print(hashlib.sha256(tokenizer.to_str().encode()).hexdigest())
"""


def test_every_process_gives_the_same_bytes(some_texts) -> None:
    """Whatever the order of texts, the number of workers and the seeds of hashes."""
    texts = json.dumps(list(some_texts("docs").values()))
    digests = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments],
            input=texts,
            env={
                **os.environ,
                "PYTHONHASHSEED": str(number),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for number, arguments in enumerate((["forward", "1"], ["reversed", "3"]), start=1)
    ]
    here = train_unigram([json.loads(texts)], 400, "gpt4", ["<|endoftext|>"])
    digests.append(hashlib.sha256(here.to_str().encode()).hexdigest())
    assert len(set(digests)) == 1


@pytest.mark.real_data
def test_text_is_likelier_and_shorter_than_with_the_trainer_of_tokenizers(shared_data) -> None:
    folder = shared_data / "lm/wikitext2raw"
    lines = (folder / "wiki.valid.raw").read_text().split("\n")[:2000]
    held_out = (folder / "wiki.test.raw").read_text().split("\n")[:1000]
    theirs = Tokenizer(models.Unigram())
    cut_into_bytes(theirs, PATTERNS["gpt4"])
    trainer = trainers.UnigramTrainer(
        vocab_size=4000,
        special_tokens=[AddedToken("<|endoftext|>", normalized=False)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    theirs.train_from_iterator(lines, trainer)
    ours = train_unigram([lines], 4000, "gpt4", ["<|endoftext|>"])
    assert ours.get_vocab_size() == theirs.get_vocab_size() == 4000

    def measure(tokenizer: Tokenizer) -> tuple[int, float]:
        scores = dict(map(tuple, json.loads(tokenizer.to_str())["model"]["vocab"]))
        tokens = [one for text in tokenizer.encode_batch(held_out) for one in text.tokens]
        return len(tokens), -sum(scores[token] for token in tokens)

    (count, nats), (their_count, their_nats) = measure(ours), measure(theirs)
    assert count < 0.9 * their_count
    assert nats < 0.95 * their_nats

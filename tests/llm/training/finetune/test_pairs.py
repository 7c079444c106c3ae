"""Rows of pairs: every token once, each pair by itself, and as few rows as best fit makes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from llm.models.config import ModelSettings
from llm.models.encoder_decoder import EncoderDecoder
from llm.tokens.packing import best_fit
from llm.tokens.rows import IGNORE
from llm.training.finetune.packed import Files
from llm.training.finetune.pairs import SHORTEST, PackedPairs, Pair, write
from tests.llm.models.random_weights import randomise

PADDING, START = 3, 5


def random_pairs(count: int, longest: int) -> list[Pair]:
    random = np.random.default_rng(0)
    sizes = random.integers(1, longest, (count, 2)).tolist()
    return [Pair(*(random.integers(6, 300, size).tolist() for size in both)) for both in sizes]


def packed(folder: Path, pairs: list[Pair], length: int = 64, long: str = "dropped") -> PackedPairs:
    write(Files.of(folder), pairs, length, 300, long)  # type: ignore[arg-type]
    return PackedPairs(Files.of(folder), length, PADDING, START)


def test_the_worked_example(tmp_path: Path) -> None:
    rows = packed(
        tmp_path, [Pair([11, 12, 13, 14], [21, 22, 9]), Pair([15, 16], [31, 32, 33, 9])], 8
    )
    batch = rows.read(np.array([0]))
    assert batch["sources"].tolist() == [[11, 12, 13, 14, 15, 16, 3, 3]]
    assert batch["source_segments"].tolist() == [[1, 1, 1, 1, 2, 2, 0, 0]]
    assert batch["tokens"].tolist() == [[5, 21, 22, 3, 5, 31, 32, 33]]
    assert batch["targets"].tolist() == [[21, 22, 9, IGNORE, 31, 32, 33, 9]]
    assert batch["segments"].tolist() == [[1, 1, 1, 0, 2, 2, 2, 2]]
    assert batch.learned.tolist() == [7]


def test_every_pair_stands_in_the_rows_once(tmp_path: Path) -> None:
    pairs = random_pairs(500, 60)
    rows = packed(tmp_path, pairs)
    longer = np.array([max(len(one.source), len(one.target)) for one in pairs])
    assert rows.length == longer.max()
    assert len(rows) == best_fit(longer, rows.length)[0].max() + 1
    batch = rows.read(np.arange(len(rows)))
    found = []
    for row in range(len(rows)):
        for segment in range(1, batch["segments"][row].max() + 1):
            own = batch["segments"][row] == segment
            source = batch["sources"][row][batch["source_segments"][row] == segment].tolist()
            target = batch["targets"][row][own].tolist()
            assert batch["tokens"][row][own].tolist() == [START, *target[:-1]]
            found.append((source, target))
    assert sorted(found) == sorted(([*one.source], [*one.target]) for one in pairs)
    assert all(rows.pair(n)[0].tolist() == pairs[n].source for n in range(0, 500, 50))


def test_packed_pairs_have_the_loss_of_pairs_alone(tmp_path: Path) -> None:
    pairs = random_pairs(12, 20)
    settings = ModelSettings(preset="bart", layers=2, d_model=32, heads=4, context_length=64)
    model = EncoderDecoder(settings.resolve(300)).eval()
    randomise(model)
    rows = packed(tmp_path, pairs)
    batch = rows.read(np.arange(len(rows))).tensors(slice(None), torch.device("cpu"))
    with torch.no_grad():
        together = model.loss(**batch)
        alone = sum(
            model.loss(
                torch.tensor([[START, *one.target[:-1]]]),
                torch.tensor([one.target]),
                sources=torch.tensor([one.source]),
            )
            for one in pairs
        )
    torch.testing.assert_close(together, torch.as_tensor(alone), atol=1e-3, rtol=1e-5)


def test_long_pairs_are_left_out_or_cut_and_counted(tmp_path: Path) -> None:
    long, short = Pair([*range(10, 60)], [*range(70, 115)]), Pair([7], [8, 9])
    empty = Pair([], [1])
    for how, there in (("dropped", 1), ("cut", 2)):
        (tmp_path / how).mkdir()
        counts = write(Files.of(tmp_path / how), [long, short, empty], 40, 300, how)  # type: ignore[arg-type]
        assert (counts.examples, counts.too_long, counts.empty) == (there, 1, 1)
    rows = PackedPairs(Files.of(tmp_path / "cut"), 40, PADDING, START)
    source, target = rows.pair(0)
    assert source.tolist() == [*range(20, 60)]  # what was said last counts most
    assert target.tolist() == [*range(70, 110)]
    assert counts.learned_tokens == 40 + 2


@pytest.mark.parametrize("length", [8, 64])
def test_no_pairs_make_no_rows(length: int, tmp_path: Path) -> None:
    rows = packed(tmp_path, [], length)
    assert len(rows) == rows.pairs == 0
    assert rows.length == min(SHORTEST, length)

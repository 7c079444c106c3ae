"""Rows of examples: packed once, only answers learned, and as small on disk as they can be."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from llm.examples.shards import Shard
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.step import BadInput
from llm.tokens.chat import encode_messages
from llm.tokens.packing import best_fit
from llm.tokens.rows import IGNORE
from llm.training.batch import Batch
from llm.training.finetune.epochs import Epochs
from llm.training.finetune.instruct import Instruct, InstructSettings
from llm.training.finetune.packed import Counts, Encoded, Files, Packed, write
from tests.examples import write_conversations
from tests.llm.training.finetune.talks import CONTEXT, byte_tokenizer, conversation

PADDING = 3
VALUES = InstructSettings(name="ask", data="talks.jsonl")
TALKS = [conversation(number) for number in range(40)]


def pack(
    tmp_path: Path, examples: Sequence[Encoded], length: int, vocabulary: int = 1000
) -> tuple[Counts, Packed]:
    files = Files.of(tmp_path)
    return write(files, examples, length, vocabulary), Packed(files, length, PADDING)


def all_rows(packed: Packed) -> Batch:
    return packed.read(np.arange(len(packed)))


def encoded(tmp_path: Path, talks: list[list[dict[str, str]]]) -> list[Encoded]:
    write_conversations(tmp_path / "talks.arrow", talks)
    return list(Instruct().encode(VALUES, Shard.open(tmp_path / "talks.arrow"), byte_tokenizer()))


def random_examples(count: int, vocabulary: int, longest: int) -> list[Encoded]:
    random = np.random.default_rng(0)
    lengths = random.integers(2, longest, count).tolist()
    return [
        Encoded(
            random.integers(0, vocabulary, length).tolist(),
            [False, *(random.random(length - 2) < 0.3).tolist(), True],
        )
        for length in lengths
    ]


def in_memory(examples: Sequence[Encoded], length: int) -> list[np.ndarray]:
    """Tokens, targets and segments by the module's rule, in arrays of 8 bytes a number."""
    examples = sorted(examples, key=lambda one: -len(one.ids))
    rows, starts = best_fit(np.array([len(one.ids) - 1 for one in examples]), length)
    shape = (int(rows.max()) + 1, length)
    tokens, targets = np.full(shape, PADDING), np.full(shape, IGNORE)
    segments, members = np.zeros(shape, np.int64), np.zeros(shape[0], np.int64)
    for one, row, start in zip(examples, rows, starts, strict=True):
        span = slice(start, start + len(one.ids) - 1)
        members[row] += 1
        tokens[row, span] = one.ids[:-1]
        targets[row, span] = np.where(one.learn[1:], one.ids[1:], IGNORE)
        segments[row, span] = members[row]
    return [tokens, targets, segments]


@pytest.mark.parametrize("vocabulary", [300, 1 << 16, (1 << 16) + 1])
def test_rows_are_those_of_the_rule_applied_in_memory(
    tmp_path: Path, vocabulary: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llm.training.finetune.packed._BATCH_TOKENS", 1000)  # many batches
    examples = random_examples(700, vocabulary, 60)
    _, packed = pack(tmp_path, examples, CONTEXT, vocabulary)
    rows, wanted = all_rows(packed), in_memory(examples, CONTEXT)
    for found, one in zip((rows["tokens"], rows["targets"], rows["segments"]), wanted, strict=True):
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found, one)
    some = packed.read(np.array([5, 2, 5]))
    np.testing.assert_array_equal(some["tokens"], rows["tokens"][[5, 2, 5]])


@pytest.mark.parametrize(("vocabulary", "most"), [(50_000, 2.4), (128_000, 4.4)])
def test_a_token_takes_little_more_than_its_id_and_a_bit(
    tmp_path: Path, vocabulary: int, most: float
) -> None:
    examples = random_examples(5000, vocabulary, 256)
    pack(tmp_path, examples, 256, vocabulary)
    files = Files.of(tmp_path)
    size = files.tokens.stat().st_size + files.plan.stat().st_size
    assert size / sum(len(one.ids) for one in examples) < most


def test_every_conversation_is_packed_once_and_only_answers_are_learned(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    examples = encoded(tmp_path, TALKS)
    counts, packed = pack(tmp_path, examples, CONTEXT)
    assert (counts.examples, counts.too_long, counts.empty) == (40, 0, 0)
    rows = all_rows(packed)
    found, answers = [], []
    for tokens, targets, segments in zip(
        rows["tokens"], rows["targets"], rows["segments"], strict=True
    ):
        for segment in range(1, segments.max() + 1):
            span = segments == segment
            assert np.all(np.diff(np.flatnonzero(span)) == 1)  # one piece
            found.append(tokens[span].tolist())
            answers.append(tokenizer.decode(targets[span][targets[span] != IGNORE].tolist(), False))
        assert np.all(targets[segments == 0] == IGNORE)
        assert np.all(tokens[segments == 0] == PADDING)
    assert sorted(found) == sorted(list(example.ids[:-1]) for example in examples)
    assert sorted(answers) == sorted(f"{talk[1]['content']}<|im_end|>" for talk in TALKS)
    assert counts.learned_tokens == (rows["targets"] != IGNORE).sum()


def test_packing_wastes_little(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lengths = random.integers(20, 200, 500)
    examples = [Encoded(list(range(length)), [True] * length) for length in lengths]
    counts, packed = pack(tmp_path, examples, 256)
    assert (all_rows(packed)["segments"] > 0).mean() > 0.95
    assert counts.learned_tokens == (lengths - 1).sum()


def test_conversations_in_a_row_do_not_see_each_other(tmp_path: Path) -> None:
    examples = encoded(tmp_path, TALKS[:5])
    rows = all_rows(pack(tmp_path, examples, 2 * CONTEXT)[1])
    model = Decoder(ModelSettings(layers=2, d_model=32, heads=2, context_length=128).resolve(260))
    model.initialise(0)
    torch.nn.init.normal_(model.blocks[0].attention.output.weight, std=0.2)  # zero at first
    together = model.loss(
        *map(torch.from_numpy, (rows["tokens"], rows["targets"], rows["segments"]))
    )
    alone = sum(
        model.loss(
            torch.tensor([example.ids[:-1]]),
            torch.tensor([np.where(example.learn, example.ids, IGNORE)[1:].tolist()]),
        )
        for example in examples
    )
    torch.testing.assert_close(together, alone)


def test_an_epoch_reads_every_row_once_and_parts_share_a_step(tmp_path: Path) -> None:
    examples = [Encoded([1, 2, number], [False, True, True]) for number in range(3, 40)]
    _, packed = pack(tmp_path, examples, 2)  # a row each
    source = Epochs(packed, rows_per_step=5, seed=4)
    rows = [row for step in range(15) for row in source.seen(step)]
    assert sorted(rows[:37]) == list(range(37))
    assert sorted(rows[37:74]) == list(range(37))
    assert rows[:37] != rows[37:74]
    shares = [source.part(2, part, 2) for part in range(2)]
    together = np.concatenate([share["tokens"] for share in shares])
    assert np.array_equal(together, all_rows(packed)["tokens"][source.seen(2)])


def test_a_long_conversation_loses_its_end_and_one_without_answer_is_left_out(
    tmp_path: Path,
) -> None:
    talks = [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b" * 100}],
        [{"role": "user", "content": "a" * 100}, {"role": "assistant", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
    ]
    counts, packed = pack(tmp_path, encoded(tmp_path, talks), CONTEXT)
    assert (counts.examples, counts.too_long, counts.empty) == (2, 2, 1)
    short = len(encode_messages(byte_tokenizer(), talks[2])[0])
    lengths = [int((row > 0).sum()) for row in all_rows(packed)["segments"]]
    assert lengths == [CONTEXT, short - 1]


def test_nothing_to_pack_is_no_row(tmp_path: Path) -> None:
    counts, packed = pack(tmp_path, [Encoded([1, 2], [True, False])], CONTEXT)
    assert (counts.examples, counts.empty, counts.rows, len(packed)) == (0, 1, 0, 0)


def test_a_bad_message_is_named_by_file_and_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"talks.jsonl, line 2: message 0: role 'robot'"):
        encoded(tmp_path, [conversation(0), [{"role": "robot", "content": "a"}]])


def test_another_file_is_no_example_shard(tmp_path: Path) -> None:
    path = tmp_path / "train.arrow"
    path.write_text('{"messages": []}')
    with pytest.raises(BadInput, match=r"train.arrow is not a whole example shard"):
        Shard.open(path)

"""Rows written together: against transformers, against each row alone, against the whole row read again."""

from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from llm.models import folder
from llm.models.config import ModelSettings
from llm.models.decoder import Decoder
from llm.models.encoder_decoder import EncoderDecoder
from llm.models.generation import (
    Request,
    WritingBatch,
    draw,
    generate,
    generate_all,
    generate_target,
)
from tests.llm.evaluation.models import write_tokenizer
from tests.llm.models.random_weights import randomise

SIZES: dict[str, Any] = {"layers": 2, "d_model": 32, "heads": 4, "context_length": 24}
KINDS: list[dict[str, Any]] = [
    {"kv_heads": 2},
    {"preset": "llama", "kv_heads": 1},
    {"preset": "gpt2"},
    {"window": 5, "full_attention_every": 2},
    {"attention_soft_cap": 2.0, "logit_soft_cap": 5.0},
    {"norm_position": "post", "feed_forward": "relu2", "bias": True},
]
PROMPTS = [[5, 9, 2, 40], [7], [*range(30)], [3, 3, 8, 1, 60, 12, 44], [50, 51]]


def decoder(changes: dict[str, Any], vocabulary: int = 61) -> Decoder:
    model = Decoder(ModelSettings(**{**SIZES, **changes}).resolve(vocabulary=vocabulary))
    randomise(model, scale=0.3)
    if model.positions is not None:  # so that a model with a tied head does not repeat itself
        with torch.no_grad():
            model.positions *= 8
    return model


def read_again(model: Decoder, ids: list[int], count: int) -> list[int]:
    """The likeliest tokens, the row read whole for each; half of it forgotten when it is full."""
    limit = model.config.context_length
    seen, made = ids[-limit:], []
    for _ in range(count):
        if len(seen) > limit:
            seen = seen[-(limit // 2) :]
        with torch.no_grad():
            made.append(int(model(torch.tensor([seen]))[0, -1].argmax()))
        seen = [*seen, made[-1]]
    return made


@pytest.mark.parametrize("changes", KINDS)
def test_rows_written_together_are_those_read_whole_each_time(changes: dict[str, Any]) -> None:
    model = decoder(changes)
    counts = [60, 12, 40, 1, 25]  # rows end alone; the first and third outlive their context
    requests = [Request(ids, count) for ids, count in zip(PROMPTS, counts, strict=True)]
    expected = [read_again(model, ids, count) for ids, count in zip(PROMPTS, counts, strict=True)]
    assert generate_all(model, requests) == expected
    assert generate_all(model, requests, rows=2) == expected  # others join as rows end
    assert [list(generate(model, one.ids, one.max_new_tokens)) for one in requests] == expected
    assert max(len(set(made)) for made in expected) > 2


@pytest.mark.parametrize("preset", ["qwen3", "llama", "gpt2"])
def test_a_batch_writes_what_transformers_does_with_padding_on_the_left(
    tmp_path: Path, preset: str
) -> None:
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    model = decoder({"preset": preset, "context_length": 64}, vocabulary=300)
    folder.save(model, tmp_path / "model", tokenizer)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    prompts = [ids for ids in PROMPTS if len(ids) < 20]
    longest = max(map(len, prompts))
    padded = torch.tensor([[0] * (longest - len(ids)) + ids for ids in prompts])
    seen = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
    with torch.no_grad():
        found = theirs.generate(
            padded, attention_mask=seen, do_sample=False, max_new_tokens=20, eos_token_id=[299]
        )[:, longest:].tolist()
    read = folder.load_decoder(tmp_path / "model")
    ours = generate_all(read, [Request(ids, 20, stop_ids={299}) for ids in prompts])
    for row, made in zip(found, ours, strict=True):
        assert made == row[: row.index(299) if 299 in row else 20]
    assert max(len(set(made)) for made in ours) > 2


def test_a_seed_draws_the_same_whatever_else_is_written() -> None:
    model = decoder({})
    settings: list[dict[str, Any]] = [
        {"temperature": 0.8, "top_k": 20, "seed": 7},
        {"temperature": 1.5, "seed": 8},
        {},
        {"temperature": 0.7, "top_k": 3, "seed": 7},
        {"temperature": 2.0, "top_k": 1000, "seed": 9},
    ]
    requests = [Request(ids, 40, **each) for ids, each in zip(PROMPTS, settings, strict=True)]
    together = generate_all(model, requests)
    alone = [generate_all(model, [request])[0] for request in requests]
    assert together == alone
    assert generate_all(model, requests[::-1], rows=3) == together[::-1]
    assert generate_all(model, [Request(PROMPTS[0], 40, 0.8, 20, 8)])[0] != together[0]


def test_draws_of_rows_with_settings_of_their_own_follow_their_softmax() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0], [3.0, 0.0, 1.0, 1.0], [0.0, 5.0, 5.0, 1.0]])
    requests = [Request([0], 1, 2.0), Request([0], 1, 1.0, top_k=2), Request([0], 1)]
    generators = [Random(seed) for seed in range(3)]
    drawn = torch.tensor([draw(logits, requests, generators) for _ in range(4000)])
    expected = torch.stack(
        [
            torch.softmax(logits[0] / 2, -1),
            # The second likeliest is one of two that are as likely: neither is left out.
            torch.softmax(torch.tensor([3.0, -torch.inf, 1.0, 1.0]), -1),
            torch.tensor([0.0, 1.0, 0.0, 0.0]),  # the smaller id of two
        ]
    )
    for column, shares in zip(drawn.T, expected, strict=True):
        found = torch.bincount(column, minlength=4) / len(drawn)
        torch.testing.assert_close(found, shares, atol=0.025, rtol=0)


def test_rows_come_go_and_stop_between_two_steps() -> None:
    model = decoder({})
    alone = [read_again(model, ids, 20) for ids in PROMPTS[:3]]
    stop = alone[1][6]
    batch = WritingBatch(model)
    first = batch.add(Request(PROMPTS[0], 20))
    made: dict[int, list[int]] = {first: []}
    ends: dict[int, Any] = {}

    def steps(count: int) -> None:
        for _ in range(count):
            for row, token, end in batch.step():
                made[row] += [] if token is None else [token]
                ends[row] = end

    steps(3)
    second = batch.add(Request(PROMPTS[1], 20, stop_ids={stop}))
    third = batch.add(Request(PROMPTS[2], 20))
    made |= {second: [], third: []}
    assert len(batch) == 3
    steps(4)
    batch.drop(third)
    steps(30)
    assert len(batch) == 0 and batch.step() == []
    assert made[first] == alone[0] and ends[first] == "length"
    assert made[second] == alone[1][: alone[1].index(stop)] and ends[second] == "stop"
    assert made[third] == alone[2][:4]
    batch.drop(third)  # has ended


@pytest.mark.parametrize("changes", [{}, {"preset": "gpt2"}, {"window": 4}, {"kv_heads": 2}])
def test_targets_written_together_are_those_written_alone(changes: dict[str, Any]) -> None:
    settings = ModelSettings(**{**SIZES, "architecture": "encoder_decoder", **changes})
    model = EncoderDecoder(settings.resolve(vocabulary=61))
    randomise(model, scale=0.3)
    sources = [[4, 8, 15, 16, 23, 42], [7], [*range(20)]]
    requests = [Request(ids, 30, start_id=1) for ids in sources]
    expected = []
    for source in sources:
        ids = [1]
        for _ in range(24):  # the context
            with torch.no_grad():
                logits = model(torch.tensor([ids]), sources=torch.tensor([source]))
            ids.append(int(logits[0, -1].argmax()))
        expected.append(ids[1:])
    assert generate_all(model, requests) == expected
    assert generate_all(model, requests, rows=2) == expected
    assert list(generate_target(model, sources[0], 1, 30)) == expected[0]


def test_impossible_requests_are_refused() -> None:
    batch = WritingBatch(decoder({}))
    with pytest.raises(ValueError, match="max_new_tokens 0"):
        batch.add(Request([1], 0))
    with pytest.raises(ValueError, match="start_id"):
        batch.add(Request([1], 1, start_id=2))
    assert generate_all(decoder({}), [Request([1], 0), Request([1], 2)])[0] == []


def test_a_row_ends_where_the_caller_says() -> None:
    model = decoder({})
    whole = read_again(model, PROMPTS[0], 20)
    made = generate_all(
        model,
        [Request(PROMPTS[0], 20), Request(PROMPTS[1], 20)],
        goes_on=lambda request, token: request == 1 or token != whole[4],
    )
    assert made == [whole[: whole.index(whole[4]) + 1], read_again(model, PROMPTS[1], 20)]

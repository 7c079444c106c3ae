"""Packed rows taken apart and put together."""

import torch

from llm.models.baselines.segments import apart


def test_each_run_of_a_segment_becomes_a_row() -> None:
    tokens = torch.tensor([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]])
    segments = torch.tensor([[0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]])
    taken = apart(tokens, segments)
    assert taken.rows.tolist() == [
        [1, 2, 3, 0, 0, 0],
        [4, 5, 0, 0, 0, 0],
        [6, 0, 0, 0, 0, 0],
        [7, 8, 9, 10, 11, 12],
    ]
    assert torch.equal(taken.together(taken.rows[..., None])[..., 0], tokens)

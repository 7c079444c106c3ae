"""The HMM against sums over all paths of states, against EM's own promise, and a planted model."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from llm.models.baselines import hmm
from llm.models.baselines.hmm import HMM, frequencies_of


def random_hmm(states: int, vocabulary: int, seed: int) -> HMM:
    return HMM.random(states, torch.full((vocabulary,), 1 / vocabulary, dtype=torch.float64), seed)


def likelihood_over_all_paths(model: HMM, tokens: list[int]) -> float:
    total = 0.0
    for path in itertools.product(range(len(model.transition)), repeat=len(tokens)):
        p = float(model.start[0, path[0]])
        for before, after in itertools.pairwise(path):
            p *= float(model.transition[before, after])
        for state, token in zip(path, tokens, strict=True):
            p *= float(model.emission[state, token])
        total += p
    return total


def test_the_likelihood_is_the_sum_over_all_paths_of_states() -> None:
    model = random_hmm(3, 4, seed=1)
    documents = [[0], [1, 2, 2, 3, 0, 1], [3, 3, 1], [0, 1, 2, 3, 3]]
    nats = model.nats([np.array(one) for one in documents])
    for document, each in zip(documents, nats, strict=True):
        assert len(each) == len(document)
        assert math.exp(-each.sum()) == pytest.approx(likelihood_over_all_paths(model, document))


def test_probabilities_of_the_next_token_sum_to_one() -> None:
    model = random_hmm(5, 6, seed=2)
    ends = [np.array([2, 4, token]) for token in range(6)]
    assert sum(math.exp(-each[-1]) for each in model.nats(ends)) == pytest.approx(1)


def test_one_pass_is_what_counting_over_all_paths_gives() -> None:
    model = random_hmm(2, 3, seed=3)
    documents = [[0, 2, 1, 1], [2, 2], [1]]
    start, transition, emission = (
        torch.zeros(shape, dtype=torch.float64) for shape in ((2,), (2, 2), (2, 3))
    )
    for document in documents:
        whole = likelihood_over_all_paths(model, document)
        for path in itertools.product(range(2), repeat=len(document)):
            p = float(model.start[0, path[0]] * model.emission[path[0], document[0]])
            for place in range(1, len(document)):
                p *= float(model.transition[path[place - 1], path[place]])
                p *= float(model.emission[path[place], document[place]])
            start[path[0]] += p / whole
            for before, after in itertools.pairwise(path):
                transition[before, after] += p / whole
            for state, token in zip(path, document, strict=True):
                emission[state, token] += p / whole
    model.fit([np.array(one) for one in documents], iterations=1, smoothing=0)
    for fitted, counted in (
        (model.start[0], start),
        (model.transition, transition),
        (model.emission, emission),
    ):
        torch.testing.assert_close(fitted, counted / counted.sum(-1, keepdim=True))


def sampled(model: HMM, documents: int, length: int, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)

    def draw(shares: Tensor) -> int:
        return int(random.choice(len(shares), p=shares.numpy()))

    made = []
    for _ in range(documents):
        state, tokens = draw(model.start[0]), []
        for _ in range(length):
            tokens.append(draw(model.emission[state]))
            state = draw(model.transition[state])
        made.append(np.array(tokens))
    return made


@pytest.fixture(scope="module")
def planted() -> tuple[HMM, list[np.ndarray]]:
    """Three states that stay a while and speak differently, and what they said."""
    stay = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.85, 0.15], [0.3, 0.0, 0.7]], dtype=torch.float64)
    says = torch.tensor(
        [[0.7, 0.2, 0.1, 0.0, 0.0], [0.0, 0.1, 0.1, 0.8, 0.0], [0.1, 0.0, 0.0, 0.1, 0.8]],
        dtype=torch.float64,
    )
    model = HMM(torch.tensor([[1.0, 0.0, 0.0]] * 2).double(), stay, says)
    return model, sampled(model, documents=60, length=120, seed=1)


def test_no_pass_makes_the_text_less_likely_and_pieces_of_documents_change_nothing_of_that(
    planted: tuple[HMM, list[np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hmm, "PIECE_TOKENS", 50)
    monkeypatch.setattr(hmm, "BATCH_TOKENS", 1000)
    text = [*planted[1][:20], planted[1][21][:7]]
    model = HMM.random(4, frequencies_of(text, 5), seed=2)
    nats = model.fit(text, iterations=25, smoothing=0)
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(nats))
    assert nats[-1] < nats[0] - 0.1


def test_a_planted_model_is_found_again(planted: tuple[HMM, list[np.ndarray]]) -> None:
    truth, text = planted
    train, held_out = text[:50], text[50:]
    fitted = HMM.random(3, frequencies_of(train, 5), seed=1)
    fitted.fit(train, iterations=60, smoothing=0.1)
    reached, due = (np.concatenate(model.nats(held_out)).mean() for model in (fitted, truth))
    frequencies = frequencies_of(train, 5).numpy()
    without_memory = -np.log(frequencies[np.concatenate(held_out)]).mean()
    assert without_memory > due + 0.3
    assert reached == pytest.approx(due, abs=0.02)


def test_single_precision_gives_the_same_likelihood_of_long_texts() -> None:
    model = random_hmm(8, 20, seed=4)
    text = np.random.default_rng(1).integers(0, 20, 3000)
    single = HMM(model.start.float(), model.transition.float(), model.emission.float())
    assert single.nats([text])[0].sum() == pytest.approx(model.nats([text])[0].sum(), rel=1e-6)

"""The machine's peak of matrix products: what `benchmarks/training.py` is a share of."""

import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import torch

SQUARES = (1024, 2048)
WINDOW = 0.25  # seconds
WINDOWS = 3

Shape = tuple[int, int, int]  # rows, inner, columns of x (r, i) W^T (i, c)


def model_shapes(tokens: int, d_model: int) -> list[Shape]:
    """The products of a block over `tokens` tokens, forward and for the weights' gradients."""
    pairs = [(d_model, 3 * d_model), (d_model, 4 * d_model), (4 * d_model, d_model)]
    shapes = [(tokens, inside, outside) for inside, outside in pairs]
    return shapes + [(outside, tokens, inside) for inside, outside in pairs]


def rates(shapes: Sequence[Shape], kind: torch.dtype, threads: int, go: Barrier) -> list[float]:
    """The best window's operations a second for each shape; all processes begin a shape together."""
    torch.set_num_threads(threads)
    found = []
    for rows, inner, columns in shapes:
        x, weight = torch.randn(rows, inner).to(kind), torch.randn(columns, inner).to(kind)
        for _ in range(2):
            x @ weight.T
        go.wait()
        best = 0.0
        for _ in range(WINDOWS):
            began, count = time.perf_counter(), 0
            while (now := time.perf_counter()) - began < WINDOW:
                x @ weight.T
                count += 1
            best = max(best, 2 * rows * inner * columns * count / (now - began))
        found.append(best)
    return found


def _child(
    shapes: Sequence[Shape], kind: torch.dtype, threads: int, go: Barrier, answer: Connection
) -> None:
    answer.send(rates(shapes, kind, threads, go))


def peak(kind: torch.dtype, cores: int, tokens: int, d_model: int) -> float:
    """Floating-point operations a second at best: over square products and those of the model, with
    all cores as threads of one process and as processes of one thread (their rates added)."""
    spawn = multiprocessing.get_context("spawn")
    best = 0.0
    for processes in {1, cores}:
        threads = cores // processes
        shapes = [(side, side, side) for side in SQUARES]
        shapes += model_shapes(tokens // processes, d_model)
        go = spawn.Barrier(processes)
        pipes = [spawn.Pipe(duplex=False) for _ in range(processes)]
        children = [
            spawn.Process(target=_child, args=(shapes, kind, threads, go, sender))
            for _, sender in pipes
        ]
        for child in children:
            child.start()
        answers = [receiver.recv() for receiver, _ in pipes]
        for child in children:
            child.join()
        best = max(best, *(sum(parts) for parts in zip(*answers, strict=True)))
    return best

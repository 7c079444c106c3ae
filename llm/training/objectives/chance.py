"""Random numbers of a row: the same whoever asks, and in whatever order."""

import numpy as np

STREAM = 0x6F626A65  # keeps an objective's draws apart from others that start from the same seed


def chance(seed: int, step: int, row: int) -> np.random.Generator:
    """A generator for one row of a step's batch (Philox: Salmon et al., SC 2011)."""
    key = np.array([seed % (1 << 64), STREAM], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(counter=[0, 0, step, row], key=key))


def rows_of_part(rows: int, part: int, parts: int, there: int) -> range:
    """Which of a step's rows belong to one of its parts; of those, the `there` that it has.

    The last step of a validation slice may have fewer.
    """
    return range(part * rows // parts, (part + 1) * rows // parts)[:there]

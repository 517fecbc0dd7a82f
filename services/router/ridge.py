"""Ridge regression on sparse rows of hashed features, in numpy."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from services.router.scorer import DIMENSIONS, Floats, Ints

Array: TypeAlias = NDArray[np.float64]
Hashed: TypeAlias = tuple[Ints, Floats]
FOLDS = 5
STEPS, TOLERANCE = 60, 1e-5


class Matrix:
    """Rows of hashed features, weighted by rarity and of length one."""

    def __init__(self, rows: Sequence[Hashed], rarity: Floats) -> None:
        self.index = np.concatenate([index for index, _ in rows])
        sizes = np.array([len(index) for index, _ in rows])
        self.starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        self.row = np.repeat(np.arange(len(rows)), sizes)
        value = np.concatenate([count for _, count in rows]) * rarity[self.index]
        length = np.sqrt(np.add.reduceat(value * value, self.starts))
        self.value = value / np.maximum(length, 1e-9)[self.row]
        self.count = len(rows)

    def times(self, weights: Array) -> Array:
        found: Array = np.add.reduceat(self.value * weights[self.index], self.starts)
        return found

    def back(self, rows: Array) -> Array:
        found = np.bincount(self.index, self.value * rows[self.row], DIMENSIONS)
        return found.astype(np.float64)

    def dense(self) -> Array:
        """Only the columns that occur."""
        used, place = np.unique(self.index, return_inverse=True)
        found = np.zeros((self.count, len(used)))
        found[self.row, place] = self.value
        return found


def rarity_of(rows: Sequence[Hashed]) -> Floats:
    """How telling each feature is: the rarer, the more. One never seen is the rarest, so that
    a text of another kind says little."""
    seen = np.zeros(DIMENSIONS)
    for index, _ in rows:
        seen[index] += 1
    found: Floats = np.log((1 + len(rows)) / (1 + seen)).astype(np.float16).astype(np.float32)
    return found


def shares_of(sizes: Sequence[int], levelling: float = 1.0) -> Array:
    """The weight of each row, one on average; with full levelling every set counts the same."""
    rows = np.concatenate([np.full(size, size**-levelling) for size in sizes])
    found: Array = rows / rows.mean()
    return found


def ridge(matrix: Matrix, target: Array, share: Array, penalty: float) -> tuple[float, Array]:
    """Weighted ridge by conjugate gradients; the mean is not penalised."""
    mean = float((share * target).sum() / share.sum())
    right = matrix.back(share * (target - mean))
    weights, rest = np.zeros(DIMENSIONS), right.copy()
    step, size = rest.copy(), float(rest @ rest)
    start = size
    for _ in range(STEPS):
        if size <= TOLERANCE**2 * max(start, 1e-30):
            break
        moved = matrix.back(share * matrix.times(step)) + penalty * step
        pace = size / float(step @ moved)
        weights += pace * step
        rest -= pace * moved
        size, before = float(rest @ rest), size
        step = rest + size / before * step
    return mean, weights


def folds_of(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(1).permutation(count) % FOLDS

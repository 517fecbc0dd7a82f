"""One regression per model, over the sets that tried the same models."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from services.router.ridge import FOLDS, Array, Hashed, Matrix, folds_of, ridge, shares_of
from services.router.scorer import DIMENSIONS, Floats
from services.router.sets import Set

Columns = dict[str, tuple[float, Array]]
PENALTIES = (1.0, 3.0, 10.0, 30.0, 1e9)
RANKS = (1, 2, 4, 1000)
# Cross-validation of a large set is done on so many of its rows.
CV_ROWS = 1200
TRADES = np.geomspace(30, 1e-3, 100)


class Tried(Struct, frozen=True, kw_only=True):
    """Out of fold, what was guessed of each model on each row, and how it was."""

    guess: Array
    quality: Array
    cost: Array


def families_of(sets: Sequence[Set]) -> list[list[Set]]:
    """Sets that tried the same models, which can teach each other."""
    found: dict[frozenset[str], list[Set]] = {}
    for each in sets:
        names = frozenset.intersection(*(frozenset(row.quality) for row in each.rows))
        if len(names) > 2:
            found.setdefault(names, []).append(each)
    return list(found.values())


def fit_family(
    family: Sequence[Set], hashed: Mapping[str, list[Hashed]], rarity: Floats
) -> tuple[Columns, Tried]:
    """One column of weights per model, of a rank and a penalty chosen out of fold."""
    rows = [row for each in family for row in each.rows]
    names = sorted(set.intersection(*(set(row.quality) for row in rows)))
    target = np.array([[row.quality[name] for name in names] for row in rows])
    cost = np.array([[row.cost[name] for name in names] for row in rows])
    share = shares_of([len(each.rows) for each in family])
    matrix = Matrix([row for each in family for row in hashed[each.name]], rarity)
    some = np.random.default_rng(2).permutation(matrix.count)[:CV_ROWS]
    penalty, rank, guess = _choose(matrix.dense()[some], target[some], share[some])
    tried = Tried(guess=guess, quality=target[some], cost=cost[some])
    means = (share[:, None] * target).sum(0) / share.sum()
    fitted = np.zeros((DIMENSIONS, len(names)))
    if penalty < PENALTIES[-1]:
        columns = [ridge(matrix, column, share, penalty)[1] for column in target.T]
        fitted = np.stack(columns, axis=1) @ _projection(target - means, rank)
    return {name: (float(means[i]), fitted[:, i]) for i, name in enumerate(names)}, tried


def _projection(target: Array, rank: int) -> Array:
    """Onto the `rank` ways in which the models' results differ most between prompts."""
    axes = np.linalg.svd(target, full_matrices=False)[2][:rank]
    found: Array = axes.T @ axes
    return found


def _choose(rows: Array, target: Array, share: Array) -> tuple[float, int, Array]:
    """The penalty and the rank with the least squared error out of fold, and their guesses."""
    kernel = rows @ rows.T
    guesses = {(penalty, rank): np.zeros_like(target) for penalty in PENALTIES for rank in RANKS}
    parts = folds_of(len(rows))
    for fold in range(FOLDS):
        a, b = parts != fold, parts == fold
        mean = (share[a, None] * target[a]).sum(0) / share[a].sum()
        centred = target[a] - mean
        projections = {rank: _projection(centred, rank) for rank in RANKS}
        for penalty in PENALTIES:
            solved = np.linalg.solve(kernel[np.ix_(a, a)] + np.diag(penalty / share[a]), centred)
            guess = kernel[np.ix_(b, a)] @ solved
            for rank in RANKS:
                guesses[penalty, rank][b] = mean + guess @ projections[rank]
    weight = share[:, None]
    best = min(guesses, key=lambda key: float((weight * (target - guesses[key]) ** 2).sum()))
    return (*best, guesses[best])


def trade_of(tried: Sequence[Tried], keep: float) -> tuple[float, dict[str, float]]:
    """The dearest worth of money at which `choice` keeps that share of the best model's
    quality, on average over the families; and what it then keeps and saves."""
    for trade in TRADES:
        kept, saved = np.mean([_chosen(each, float(trade)) for each in tried], axis=0)
        if kept >= keep:
            break
    return float(trade), {
        "cross-validated choice quality kept": round(float(kept), 4),
        "cross-validated choice saving": round(float(saved), 4),
    }


def _chosen(tried: Tried, trade: float) -> tuple[float, float]:
    """Quality kept and cost saved against always the best model."""
    means = tried.cost.mean(0)
    rows = np.arange(len(tried.guess))
    pick = np.argmax(tried.guess - trade * means / max(means.max(), 1e-12), axis=1)
    best = int(np.argmax(tried.quality.mean(0)))
    kept = tried.quality[rows, pick].mean() / max(tried.quality[:, best].mean(), 1e-9)
    saved = 1 - tried.cost[rows, pick].mean() / max(tried.cost[:, best].mean(), 1e-12)
    return float(kept), float(saved)

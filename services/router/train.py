"""Fit the scorer: ridge regressions in numpy.

How hard to regularise is chosen by five-fold cross-validation, which also gives the figures
that the file carries.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np

from services.router.families import Tried, families_of, fit_family, trade_of
from services.router.ridge import (
    FOLDS,
    Array,
    Hashed,
    Matrix,
    folds_of,
    rarity_of,
    ridge,
    shares_of,
)
from services.router.scorer import PREMIUM, About, Floats, Scorer, features
from services.router.sets import Row, Set

Progress = Callable[[str, int, int], None]
GAIN_PENALTY = 3.0
KEEP = 0.96
# A row's own outcome is one coin toss; what the other models made of the row says more.
OWN_SHARE, OTHERS_PENALTY, OTHERS_FOLDS = 0.25, 10.0, 10
# What a miss of everybody's says about the gain of a dearer model, where no pair was measured.
SHORTFALL = 0.4
# Sets count by rows to this power less: 0 would be by rows, 1 all the same.
LEVELLING = 0.75


def train(
    sets: Sequence[Set], *, models: bool = True, progress: Progress = lambda *_: None
) -> Scorer:
    """Fit everything the data can teach. `models=False` fits the premium need only. `progress`
    is told what begins, how many steps are done, and of how many."""
    hashed = {each.name: [features(row.prompt) for row in each.rows] for each in sets}
    rarity = rarity_of([row for rows in hashed.values() for row in rows])
    columns: dict[str, tuple[float, Array]] = {}
    paired = [each for each in sets if _has_pair(each)]
    hard = [each for each in sets if each not in paired and len(each.rows[0].quality) > 1]
    families = list(families_of(sets)) if models else []
    steps = len(families) + bool(paired)
    measured: dict[str, float] = {}
    tried: list[Tried] = []
    middle, width = 0.0, 1.0
    if paired:
        progress(f"premium need: {', '.join(each.name for each in paired)}", 0, steps)
        columns[PREMIUM] = _fit_gain(paired + hard, hashed, rarity)
        middle, width, measured = _operating_point(paired, hashed)
    for number, family in enumerate(families, bool(paired)):
        progress(f"models: {', '.join(each.name for each in family)}", number, steps)
        fitted, out_of_fold = fit_family(family, hashed, rarity)
        columns |= fitted
        tried.append(out_of_fold)
    progress("done", steps, steps)
    trade = About().trade
    if tried:
        trade, kept = trade_of(tried, KEEP)
        measured |= kept
    about = About(
        version=f"{int(time.time())}",
        created=time.strftime("%Y-%m-%d", time.gmtime()),
        sets={each.name: len(each.rows) for each in sets},
        outputs=tuple(columns),
        means=tuple(mean for mean, _ in columns.values()),
        middle=middle,
        width=width,
        prior=_price_prior(sets),
        trade=trade,
        measured=measured,
    )
    weights = np.stack([column for _, column in columns.values()], axis=1)
    return Scorer(about, rarity, weights.astype(np.float16))


def _has_pair(each: Set) -> bool:
    """Does the set name a cheap and a dearer model, both of which it holds?"""
    first = each.rows[0].quality
    if each.cheap not in first or each.premium not in first:
        return False
    return sum(row.cost[each.premium] - row.cost[each.cheap] for row in each.rows) > 0


def _gain(each: Set) -> Array:
    """What the premium model adds on each row, relative to what it reaches on the set."""
    premium = np.array([row.quality[each.premium] for row in each.rows])
    cheap = np.array([row.quality[each.cheap] for row in each.rows])
    found: Array = (premium - cheap) / max(1e-9, premium.mean())
    return found


def _steadied(each: Set) -> Array:
    """The gain, mostly as the other models' results on the same row foretell it. A set without
    a pair tells how hard its rows are, as shortfall from its best."""
    if not _has_pair(each):
        quality = np.array([np.mean(list(row.quality.values())) for row in each.rows])
        found = SHORTFALL * (1 - quality)
        return np.asarray(found, np.float64)
    gain = _gain(each)
    names = set.intersection(*(set(row.quality) for row in each.rows))
    others = sorted(names - {each.cheap, each.premium})
    if len(others) < 3 or len(gain) < 2 * OTHERS_FOLDS:
        return gain
    results = np.array([[row.quality[name] for name in others] for row in each.rows])
    results, mean = results - results.mean(0), gain.mean()
    foretold = np.zeros(len(gain))
    parts = np.random.default_rng(3).permutation(len(gain)) % OTHERS_FOLDS
    for fold in range(OTHERS_FOLDS):
        a, b = parts != fold, parts == fold
        square = results[a].T @ results[a] + OTHERS_PENALTY * np.eye(len(others))
        foretold[b] = mean + results[b] @ np.linalg.solve(square, results[a].T @ (gain[a] - mean))
    steadied: Array = OWN_SHARE * gain + (1 - OWN_SHARE) * foretold
    return steadied


def _fit_gain(
    sets: Sequence[Set], hashed: Mapping[str, list[Hashed]], rarity: Floats
) -> tuple[float, Array]:
    matrix = Matrix([row for each in sets for row in hashed[each.name]], rarity)
    target = np.concatenate([_steadied(each) for each in sets])
    share = shares_of([len(each.rows) for each in sets], LEVELLING)
    return ridge(matrix, target, share, GAIN_PENALTY)


def _operating_point(
    sets: Sequence[Set], hashed: Mapping[str, list[Hashed]]
) -> tuple[float, float, dict[str, float]]:
    """Where to cut the predicted gain so that KEEP of the quality is kept, out of fold."""
    guesses = [np.zeros(len(each.rows)) for each in sets]
    parts = [folds_of(len(each.rows)) for each in sets]
    for fold in range(FOLDS):
        train_rows = {
            each.name: [row for row, part in zip(hashed[each.name], parts[i], strict=True)
                        if part != fold]
            for i, each in enumerate(sets)
        }  # fmt: skip
        kept = [
            msgspec.structs.replace(
                each, rows=[r for r, part in zip(each.rows, parts[i], strict=True) if part != fold]
            )
            for i, each in enumerate(sets)
        ]
        rarity = rarity_of([row for rows in train_rows.values() for row in rows])
        mean, weights = _fit_gain(kept, train_rows, rarity)
        for i, each in enumerate(sets):
            test = Matrix(
                [r for r, part in zip(hashed[each.name], parts[i], strict=True) if part == fold],
                rarity,
            )
            guesses[i][parts[i] == fold] = mean + test.times(weights)
    return _cut(sets, guesses)


def _cut(sets: Sequence[Set], guesses: Sequence[Array]) -> tuple[float, float, dict[str, float]]:
    """The threshold, the spread of the guesses, and what the threshold keeps and saves."""
    share = shares_of([len(each.rows) for each in sets])
    share = share / share.sum()
    guess = np.concatenate(guesses)
    values = [_relative(each) for each in sets]
    cheap_quality, premium_quality, cheap_cost, premium_cost = (
        np.concatenate([value[i] for value in values]) for i in range(4)
    )
    order = np.argsort(-guess, kind="stable")
    quality = (cheap_quality * share).sum() + np.cumsum(
        ((premium_quality - cheap_quality) * share)[order]
    )
    cost = (cheap_cost * share).sum() + np.cumsum(((premium_cost - cheap_cost) * share)[order])
    enough = np.flatnonzero(quality >= KEEP)
    at = int(enough[np.argmin(cost[enough])]) if len(enough) else len(order) - 1
    measured = {
        "cross-validated quality kept": round(float(quality[at]), 4),
        "cross-validated saving": round(float(1 - cost[at]), 4),
    }
    return float(guess[order[at]]), float(guess.std()) or 1.0, measured


def _relative(each: Set) -> tuple[Array, Array, Array, Array]:
    """Quality and cost of the pair, relative to the premium model's means."""

    def column(model: str, of: Callable[[Row], dict[str, float]]) -> Array:
        return np.array([of(row)[model] for row in each.rows])

    quality = column(each.premium, lambda row: row.quality)
    cost = column(each.premium, lambda row: row.cost)
    q, c = max(1e-9, quality.mean()), max(1e-12, cost.mean())
    return (
        column(each.cheap, lambda row: row.quality) / q,
        quality / q,
        column(each.cheap, lambda row: row.cost) / c,
        cost / c,
    )


def _price_prior(sets: Sequence[Set]) -> tuple[float, float]:
    """A line through (log of the relative price, mean quality) of every model."""
    points = []
    for each in sets:
        names = set.intersection(*(set(row.quality) for row in each.rows))
        cost = {n: float(np.mean([row.cost[n] for row in each.rows])) for n in names}
        dearest = max(cost.values(), default=0.0)
        points += [
            (np.log10(max(cost[n] / dearest, 1e-4)), np.mean([r.quality[n] for r in each.rows]))
            for n in names
            if dearest > 0
        ]
    if len(points) < 3:
        return (0.7, 0.1)
    x, y = np.array(points, float).T
    slope, level = np.polyfit(x, y, 1)
    return (round(float(level), 4), round(max(0.0, float(slope)), 4))

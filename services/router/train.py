"""Fit the scorer: ridge regressions in numpy, each set weighing the same.

Data are JSON lines, one file per set, `{"prompt", …, "models": {name: {"q", "cost"}}}`, and a
`meta.json` that may name a set's cheap and premium model. How hard to regularise is chosen by
five-fold cross-validation, which also gives the figures that the file carries.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from libs.common.settings.load import ConfigError
from services.router.scorer import (
    DIMENSIONS,
    PREMIUM,
    About,
    Floats,
    Ints,
    Prompt,
    Scorer,
    features,
)

Array: TypeAlias = NDArray[np.float64]
Hashed: TypeAlias = tuple[Ints, Floats]
FOLDS = 5
GAIN_PENALTY = 3.0
PENALTIES = (1.0, 3.0, 10.0, 30.0, 1e9)
RANKS = (1, 2, 4, 1000)
# Cross-validation of a large set is done on so many of its rows.
CV_ROWS = 1200
KEEP = 0.96
# A row's own outcome is one coin toss; what the other models made of the row says more.
OWN_SHARE, OTHERS_PENALTY, OTHERS_FOLDS = 0.25, 10.0, 10
# What a miss of everybody's says about the gain of a dearer model, where no pair was measured.
SHORTFALL = 0.4
# Sets count by rows to this power less: 0 would be by rows, 1 all the same.
LEVELLING = 0.75
STEPS, TOLERANCE = 60, 1e-5


class Row(Struct, frozen=True):
    """One prompt with what each model made of it: quality 0..1 and cost in USD."""

    prompt: Prompt
    quality: dict[str, float]
    cost: dict[str, float]


class Set(Struct, frozen=True, kw_only=True):
    name: str
    rows: list[Row]
    cheap: str = ""
    premium: str = ""


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


def read_sets(folder: Path) -> list[Set]:
    """Every `*.jsonl` of the folder. Raises ConfigError."""
    meta = _meta(folder / "meta.json")
    sets = [_read(path, meta.get(path.stem, {})) for path in sorted(folder.glob("*.jsonl"))]
    if not sets:
        raise ConfigError(f"{folder}: no *.jsonl files; see docs/routing.md#training")
    return sets


def _meta(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    return found


def _read(path: Path, meta: Mapping[str, Any]) -> Set:
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            raw = msgspec.json.decode(line)
            models = raw["models"]
            rows.append(
                Row(
                    prompt=msgspec.convert(raw, Prompt),
                    quality={name: float(each["q"]) for name, each in models.items()},
                    cost={name: float(each.get("cost") or 0) for name, each in models.items()},
                )
            )
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}:{number}: {type(error).__name__} {error}") from None
    if not rows:
        raise ConfigError(f"{path}: is empty")
    return Set(
        name=path.stem,
        rows=rows,
        cheap=str(meta.get("cheap", "")),
        premium=str(meta.get("premium", "")),
    )


def train(
    sets: Sequence[Set], *, models: bool = True, say: Callable[[str], None] = lambda _: None
) -> Scorer:
    """Fit everything the data can teach. `models=False` fits the premium need only."""
    hashed = {each.name: [features(row.prompt) for row in each.rows] for each in sets}
    rarity = _rarity([row for rows in hashed.values() for row in rows])
    columns: dict[str, tuple[float, Array]] = {}
    paired = [each for each in sets if _has_pair(each)]
    hard = [each for each in sets if each not in paired and len(each.rows[0].quality) > 1]
    measured: dict[str, float] = {}
    middle, width = 0.0, 1.0
    if paired:
        say(f"premium need: {', '.join(each.name for each in paired)}")
        columns[PREMIUM] = _fit_gain(paired + hard, hashed, rarity)
        middle, width, measured = _operating_point(paired, hashed)
    for family in _families(sets) if models else ():
        say(f"models: {', '.join(each.name for each in family)}")
        columns |= _fit_family(family, hashed, rarity)
    about = About(
        version=f"{int(time.time())}",
        created=time.strftime("%Y-%m-%d", time.gmtime()),
        sets={each.name: len(each.rows) for each in sets},
        outputs=tuple(columns),
        means=tuple(mean for mean, _ in columns.values()),
        middle=middle,
        width=width,
        prior=_price_prior(sets),
        measured=measured,
    )
    weights = np.stack([column for _, column in columns.values()], axis=1)
    return Scorer(about, rarity, weights.astype(np.float16))


def _rarity(rows: Sequence[Hashed]) -> Floats:
    """How telling each feature is: the rarer, the more. One never seen is the rarest, so that
    a text of another kind says little."""
    seen = np.zeros(DIMENSIONS)
    for index, _ in rows:
        seen[index] += 1
    found: Floats = np.log((1 + len(rows)) / (1 + seen)).astype(np.float16).astype(np.float32)
    return found


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


def _fit_gain(
    sets: Sequence[Set], hashed: Mapping[str, list[Hashed]], rarity: Floats
) -> tuple[float, Array]:
    matrix = Matrix([row for each in sets for row in hashed[each.name]], rarity)
    target = np.concatenate([_steadied(each) for each in sets])
    share = _shares([len(each.rows) for each in sets], LEVELLING)
    return _ridge(matrix, target, share, GAIN_PENALTY)


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


def _shares(sizes: Sequence[int], levelling: float = 1.0) -> Array:
    """The weight of each row, one on average; with full levelling every set counts the same."""
    rows = np.concatenate([np.full(size, size**-levelling) for size in sizes])
    found: Array = rows / rows.mean()
    return found


def _ridge(matrix: Matrix, target: Array, share: Array, penalty: float) -> tuple[float, Array]:
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


def _folds(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(1).permutation(count) % FOLDS


def _operating_point(
    sets: Sequence[Set], hashed: Mapping[str, list[Hashed]]
) -> tuple[float, float, dict[str, float]]:
    """Where to cut the predicted gain so that KEEP of the quality is kept, out of fold."""
    guesses = [np.zeros(len(each.rows)) for each in sets]
    parts = [_folds(len(each.rows)) for each in sets]
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
        rarity = _rarity([row for rows in train_rows.values() for row in rows])
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
    share = _shares([len(each.rows) for each in sets])
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


def _families(sets: Sequence[Set]) -> list[list[Set]]:
    """Sets that tried the same models, which can teach each other."""
    found: dict[frozenset[str], list[Set]] = {}
    for each in sets:
        names = frozenset.intersection(*(frozenset(row.quality) for row in each.rows))
        if len(names) > 2:
            found.setdefault(names, []).append(each)
    return list(found.values())


def _fit_family(
    family: Sequence[Set],
    hashed: Mapping[str, list[Hashed]],
    rarity: Floats,
) -> dict[str, tuple[float, Array]]:
    """One column of weights per model, of a rank and a penalty chosen out of fold."""
    rows = [row for each in family for row in each.rows]
    names = sorted(set.intersection(*(set(row.quality) for row in rows)))
    target = np.array([[row.quality[name] for name in names] for row in rows])
    share = _shares([len(each.rows) for each in family])
    matrix = Matrix([row for each in family for row in hashed[each.name]], rarity)
    penalty, rank = _choose(matrix, target, share)
    means = (share[:, None] * target).sum(0) / share.sum()
    if penalty >= PENALTIES[-1]:
        return {n: (float(m), np.zeros(DIMENSIONS)) for n, m in zip(names, means, strict=True)}
    fitted = np.stack([_ridge(matrix, column, share, penalty)[1] for column in target.T], axis=1)
    fitted = fitted @ _projection(target - means, rank)
    return {n: (float(m), fitted[:, i]) for i, (n, m) in enumerate(zip(names, means, strict=True))}


def _projection(target: Array, rank: int) -> Array:
    """Onto the `rank` ways in which the models' results differ most between prompts."""
    axes = np.linalg.svd(target, full_matrices=False)[2][:rank]
    found: Array = axes.T @ axes
    return found


def _choose(matrix: Matrix, target: Array, share: Array) -> tuple[float, int]:
    """The penalty and the rank with the least squared error out of fold."""
    rows = np.random.default_rng(2).permutation(matrix.count)[:CV_ROWS]
    dense = matrix.dense()[rows]
    kernel, target, share = dense @ dense.T, target[rows], share[rows]
    error = {(penalty, rank): 0.0 for penalty in PENALTIES for rank in RANKS}
    parts = _folds(len(rows))
    for fold in range(FOLDS):
        a, b = parts != fold, parts == fold
        mean = (share[a, None] * target[a]).sum(0) / share[a].sum()
        centred = target[a] - mean
        projections = {rank: _projection(centred, rank) for rank in RANKS}
        for penalty in PENALTIES:
            solved = np.linalg.solve(kernel[np.ix_(a, a)] + np.diag(penalty / share[a]), centred)
            guess = kernel[np.ix_(b, a)] @ solved
            for rank in RANKS:
                missed = target[b] - mean - guess @ projections[rank]
                error[penalty, rank] += float((share[b, None] * missed**2).sum())
    return min(error, key=lambda key: error[key])


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

"""Which models of a pool earn their place: cost against quality, the dominated ones named."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from services.router.sets import Set


class Standing(Struct, frozen=True, kw_only=True):
    """A model on one set: mean quality, mean USD per request, and the model (or the mixture of
    two) that is at least as good for less, if there is one."""

    set: str
    model: str
    quality: float
    cost: float
    dominated_by: str = ""


def pareto(sets: Sequence[Set]) -> list[Standing]:
    """Every model of every set, cheapest first."""
    return [standing for each in sets for standing in _of_set(each)]


def _of_set(each: Set) -> list[Standing]:
    names = sorted(set.intersection(*(set(row.quality) for row in each.rows)))
    points = {
        name: (
            float(np.mean([row.cost[name] for row in each.rows])),
            float(np.mean([row.quality[name] for row in each.rows])),
        )
        for name in names
    }
    standings = [
        Standing(
            set=each.name,
            model=name,
            quality=round(quality, 4),
            cost=cost,
            dominated_by=_better(name, points),
        )
        for name, (cost, quality) in points.items()
    ]
    return sorted(standings, key=lambda standing: standing.cost)


def _better(name: str, points: dict[str, tuple[float, float]]) -> str:
    """Who beats a model: one that is no worse for less, or a mixture of two."""
    cost, quality = points[name]
    others = {n: p for n, p in points.items() if n != name}
    single = [
        n
        for n, (c, q) in others.items()
        if c <= cost and q >= quality and (c, q) != (cost, quality)
    ]
    if single:
        return min(single, key=lambda n: others[n][0])
    for low, (c1, q1) in others.items():
        for high, (c2, q2) in others.items():
            if c1 < cost < c2 and q2 > q1 and q1 + (q2 - q1) * (cost - c1) / (c2 - c1) > quality:
                return f"{low} mixed with {high}"
    return ""

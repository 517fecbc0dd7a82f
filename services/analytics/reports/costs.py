"""What was spent, consumed and saved: totals, groups, the days, and the days before."""

import asyncio
from typing import Any

from libs.common.money import usd
from services.analytics.reports.asked import Asked
from services.analytics.reports.sums import (
    TOKENS,
    Sums,
    before,
    by_day,
    described,
    figures,
    grouped,
    named,
    percent,
    summed,
)
from services.analytics.store import Store

LIMIT = 1000  # groups in one answer; the rest is summed up in `other`


async def costs(store: Store, asked: Asked) -> dict[str, Any]:
    names = asked.group_by
    groups, models, days, earlier = await asyncio.gather(
        grouped(store, asked, names),
        grouped(store, asked, ("model",)),
        grouped(store, asked, ("day",)),
        before(store, asked),
    )
    total = summed(models)
    answer: dict[str, Any] = {
        "currency": "USD",
        "total_cost": usd(total["cost"]),
        **described(asked),
        "group_by": ",".join(names),
        **figures(total),
        "previous": {
            "total_cost": usd(earlier["cost"]),
            "change_percent": percent(total["cost"] - earlier["cost"], earlier["cost"]),
        },
        "by_model": _per(models, "model", "cost"),
        "groups": [named(row, names) for row in groups[:LIMIT]],
        "series": [named(row, ("day",)) for row in by_day(days)],
    }
    answer |= {f"by_{name}": _per(groups, name, "cost") for name in names}
    if len(groups) > LIMIT:
        answer["other"] = figures(summed(groups[LIMIT:]))
    return answer


async def usage(store: Store, asked: Asked) -> dict[str, Any]:
    names = asked.group_by
    groups, days, earlier = await asyncio.gather(
        grouped(store, asked, names), grouped(store, asked, ("day",)), before(store, asked)
    )
    total = summed(days)
    return {
        **described(asked),
        "group_by": ",".join(names),
        **figures(total),
        "total_tokens": _tokens(total),
        "previous": {
            "requests": earlier["requests"],
            "total_tokens": _tokens(earlier),
            "change_percent": percent(_tokens(total) - _tokens(earlier), _tokens(earlier)),
        },
        "groups": [named(row, names) for row in groups[:LIMIT]],
        "series": [named(row, ("day",)) for row in by_day(days)],
    }


async def savings(store: Store, asked: Asked) -> dict[str, Any]:
    """Measured only: the same tokens at the baseline's price, minus what was paid. A choice
    that cost more than the baseline counts against the sum."""
    names = asked.group_by
    groups, days, earlier = await asyncio.gather(
        grouped(store, asked, names), grouped(store, asked, ("day",)), before(store, asked)
    )
    total = summed(days)
    return {
        "currency": "USD",
        "total_saved": usd(total["saved"]),
        **described(asked),
        "group_by": ",".join(names),
        **figures(total),
        "lost": usd(sum(min(0, row["saved"]) for row in groups)),
        "previous": {
            "total_saved": usd(earlier["saved"]),
            "change_percent": percent(total["saved"] - earlier["saved"], earlier["saved"]),
        },
        f"by_{names[0]}": _per(groups, names[0], "saved"),
        "groups": [named(row, names) for row in groups[:LIMIT]],
        "series": _cumulative(by_day(days)),
    }


def _cumulative(days: list[Sums]) -> list[dict[str, Any]]:
    found, so_far = [], 0
    for row in days:
        so_far += row["saved"]
        found.append(named(row, ("day",)) | {"saved_so_far": usd(so_far)})
    return found


def _per(rows: list[Sums], name: str, figure: str) -> dict[str, str]:
    totals: dict[str, int] = {}
    for row in rows:
        label = str(row[name])
        totals[label] = totals.get(label, 0) + row[figure]
    return {label: usd(amount) for label, amount in totals.items()}


def _tokens(sums: Sums) -> int:
    """Reasoning is a part of output, and a web search is no token."""
    return sum(sums[name] for name in TOKENS if name not in ("reasoning", "web_searches"))

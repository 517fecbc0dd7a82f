"""What was spent: totals, groups, the days, and the days before for comparison."""

import asyncio
from typing import Any

from libs.common.money import usd
from services.analytics.reports.asked import GROUPS, Asked
from services.analytics.reports.source import SUMS, Source, source
from services.analytics.store import Store

TOKENS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning",
    "web_searches",
)  # fmt: skip
LIMIT = 1000  # groups in one answer; the rest is summed up in `other`
Sums = dict[str, Any]


async def costs(store: Store, asked: Asked) -> dict[str, Any]:
    groups, models, days, before = await asyncio.gather(
        grouped(store, asked, asked.group_by),
        grouped(store, asked, ("model",)),
        grouped(store, asked, ("day",)),
        total_before(store, asked),
    )
    total = summed(models)
    answer: dict[str, Any] = {
        "currency": "USD",
        **described(asked),
        "group_by": ",".join(asked.group_by),
        "total_cost": usd(total["cost"]),
        **figures(total),
        "previous": compared(total["cost"], before),
        "by_model": {row["model"]: usd(row["cost"]) for row in models},
        "groups": [named(row, asked.group_by) for row in groups[:LIMIT]],
        "series": [named(row, ("day",)) for row in sorted(days, key=lambda row: str(row["day"]))],
    }
    for name in asked.group_by:
        answer[f"by_{name}"] = by_one(groups, name)
    if len(groups) > LIMIT:
        answer["other"] = figures(summed(groups[LIMIT:]))
    return answer


async def grouped(store: Store, asked: Asked, names: tuple[str, ...]) -> list[Sums]:
    """Sums per group, dearest first. Names are checked, so only our own words enter the SQL."""
    period = asked.period
    by_day = "day" in names
    rows = source(asked.principal, period.since, period.until, period.tz, by_day)
    keys = [_key(name) for name in names]
    sql = f"""SELECT {", ".join(keys)}, any(key_name) AS key_name, {_sums()}
        FROM {rows.sql} AS r GROUP BY {", ".join(names)} ORDER BY cost DESC, attempts DESC"""
    return await store.query(sql, **_with_zone(rows, period.tz, by_day))


async def total_before(store: Store, asked: Asked) -> int:
    rows = source(asked.principal, *asked.period.before)
    if not rows.parameters.get("since0"):
        return 0
    found = await store.query(f"SELECT sum(cost) AS cost FROM {rows.sql}", **rows.parameters)
    return int(found[0]["cost"])


def summed(rows: list[Sums]) -> Sums:
    return {name: sum(row[name] for row in rows) for name in SUMS}


def described(asked: Asked) -> dict[str, Any]:
    period = asked.period
    return {
        "days": period.days,
        "tz": period.tz,
        "from": period.since.isoformat(),
        "to": period.until.isoformat(),
        "scope": "org" if asked.principal.admin else "key",
    }


def figures(sums: Sums) -> dict[str, Any]:
    """The figures of one group, as they are shown: money as decimal text in USD."""
    read_or_written = sums["input"] + sums["cache_read"] + _written(sums)
    return {
        "cost": usd(sums["cost"]),
        "requests": sums["requests"],
        "attempts": sums["attempts"],
        "errors": sums["errors"],
        "refused": sums["refused"],
        "unpriced": sums["unpriced"],
        "baseline_cost": usd(sums["baseline_cost"]),
        "saved": usd(sums["saved"]),
        "saved_percent": percent(sums["saved"], sums["baseline_cost"]),
        "tokens": {name: sums[name] for name in TOKENS},
        "cache_share": _ratio(sums["cache_read"], read_or_written),
        "response_cache_hits": sums["cached"],
        "pii": sums["pii"],
    }


def compared(now: int, before: int) -> dict[str, Any]:
    return {"total_cost": usd(before), "change_percent": percent(now - before, before)}


def named(row: Sums, names: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {name: str(row[name]) for name in names}
    if "key" in names:
        found["key_name"] = row["key_name"]
    return found | figures(row)


def by_one(rows: list[Sums], name: str) -> dict[str, str]:
    totals: dict[str, int] = {}
    for row in rows:
        label = str(row[name])
        totals[label] = totals.get(label, 0) + row["cost"]
    return {label: usd(cost) for label, cost in totals.items()}


def percent(part: int, whole: int) -> float | None:
    """None where there is nothing to compare with."""
    return round(100 * part / whole, 2) if whole else None


def _ratio(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _written(sums: Sums) -> int:
    return int(sums["cache_write_5m"] + sums["cache_write_1h"])


def _key(name: str) -> str:
    if name == "day":
        return "toDate(moment, {tz:String}) AS day"
    return f"{GROUPS[name]} AS {name}" if GROUPS[name] != name else name


def _sums() -> str:
    return ", ".join(f"sum(r.{name}) AS {name}" for name in SUMS)


def _with_zone(rows: Source, tz: str, by_day: bool) -> dict[str, Any]:
    return rows.parameters | ({"tz": tz} if by_day else {})

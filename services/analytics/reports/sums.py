"""Sums per group of a span of time, and how their figures are shown."""

from typing import Any

from libs.common.money import usd
from services.analytics.reports.asked import GROUPS, Asked
from services.analytics.reports.source import SUMS, source
from services.analytics.store import Store

TOKENS = (
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning",
    "web_searches",
)  # fmt: skip
COUNTS = ("requests", "attempts", "errors", "refused", "unpriced", "simulated")
Sums = dict[str, Any]


async def grouped(store: Store, asked: Asked, names: tuple[str, ...]) -> list[Sums]:
    """Sums per group, dearest first. Names are checked, so only our own words enter the SQL."""
    period = asked.period
    by_day = "day" in names
    rows = source(asked.principal, period.since, period.until, period.tz, by_day)
    sql = f"""SELECT {", ".join(_key(name) for name in names)}, any(r.key_name) AS key_name,
        {", ".join(f"sum(r.{name}) AS {name}" for name in SUMS)}
        FROM {rows.sql} AS r GROUP BY {", ".join(names)} ORDER BY cost DESC, attempts DESC"""
    zone = {"tz": period.tz} if by_day else {}
    return await store.query(sql, **rows.parameters, **zone)


async def before(store: Store, asked: Asked) -> Sums:
    """The sums of the days before, as far into them as we are into these."""
    since, until = asked.period.before
    if since >= until:
        return dict.fromkeys(SUMS, 0)
    rows = source(asked.principal, since, until)
    columns = ", ".join(f"sum(r.{name}) AS {name}" for name in SUMS)
    return (await store.query(f"SELECT {columns} FROM {rows.sql} AS r", **rows.parameters))[0]


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
    return {
        "cost": usd(sums["cost"]),
        **{name: sums[name] for name in COUNTS},
        "list_cost": usd(sums["list_cost"]),
        "baseline_cost": usd(sums["baseline_cost"]),
        "saved": usd(sums["saved"]),
        "saved_percent": percent(sums["saved"], sums["baseline_cost"]),
        "tokens": {name: sums[name] for name in TOKENS},
        "cache_share": cache_share(sums),
        "response_cache_hits": sums["cached"],
        "pii": sums["pii"],
    }


def named(row: Sums, names: tuple[str, ...]) -> dict[str, Any]:
    """A group's names and figures."""
    found: dict[str, Any] = {name: str(row[name]) for name in names}
    if "key" in names:
        found["key_name"] = row["key_name"]
    return found | figures(row)


def by_day(rows: list[Sums]) -> list[Sums]:
    return sorted(rows, key=lambda row: str(row["day"]))


def percent(part: int, whole: int) -> float | None:
    """None where there is nothing to compare with."""
    return round(100 * part / whole, 2) if whole else None


def cache_share(sums: Sums) -> float:
    """How much of the input was read from the provider's cache."""
    written = sums["cache_write_5m"] + sums["cache_write_1h"]
    whole = sums["input"] + sums["cache_read"] + written
    return round(sums["cache_read"] / whole, 4) if whole else 0.0


def _key(name: str) -> str:
    if name == "day":
        return "toDate(moment, {tz:String}) AS day"
    return name if GROUPS[name] == name else f"{GROUPS[name]} AS {name}"

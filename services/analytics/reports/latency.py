"""How long answers took, and how much of that was ours."""

from typing import Any

from libs.common.errors import InvalidRequest
from services.analytics.reports.asked import GROUPS, Asked
from services.analytics.reports.source import scope
from services.analytics.reports.sums import described
from services.analytics.rows import PLAIN_REASON
from services.analytics.store import Store

LEVELS = "0.5, 0.95, 0.99"
FIGURES = f"""count() AS answers,
    quantiles({LEVELS})(seconds) AS duration,
    quantilesIf({LEVELS})(first_token, first_token > 0) AS first,
    quantiles({LEVELS})(router_seconds + pii_seconds + ledger_seconds) AS overhead,
    quantileIf(0.5)(output / (seconds - first_token), seconds > first_token AND stream) AS speed"""


async def latency(store: Store, asked: Asked) -> dict[str, Any]:
    names = asked.group_by
    if "day" in names and len(names) > 1:
        raise InvalidRequest("group_by: latency is grouped by `day` alone, or not by it")
    period = asked.period
    keys = ", ".join(_key(name) for name in names)
    where = f"""FROM usage AS u FINAL WHERE {scope(asked.principal.admin)} AND outcome = 'ok'
        AND at >= {{since:DateTime64(6, 'UTC')}} AND at < {{until:DateTime64(6, 'UTC')}}"""
    parameters = {
        "org": asked.principal.org,
        "key": asked.principal.key_id,
        "since": period.since,
        "until": period.until,
        "tz": period.tz,
    }
    total = await store.query(f"SELECT {FIGURES} {where}", **parameters)
    groups = await store.query(
        f"SELECT {keys}, {FIGURES} {where} GROUP BY {', '.join(names)} ORDER BY answers DESC",
        **parameters,
    )
    return {
        **described(asked),
        "group_by": ",".join(names),
        "unit": "seconds",
        **_shown(total[0]),
        "groups": [{name: str(row[name]) for name in names} | _shown(row) for row in groups],
    }


def _key(name: str) -> str:
    if name == "day":
        return "toDate(at, {tz:String}) AS day"
    if name == "reason":
        return f"{PLAIN_REASON} AS reason"
    return name if GROUPS[name] == name else f"{GROUPS[name]} AS {name}"


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "answers": row["answers"],
        "duration": _three(row["duration"]),
        "first_token": _three(row["first"]),
        "gateway_overhead": _three(row["overhead"]),
        "output_tokens_per_second": _number(row["speed"]),
    }


def _three(values: list[float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(("p50", "p95", "p99"), values, strict=True)}


def _number(value: float) -> float | None:
    """ClickHouse says NaN where there was nothing to measure."""
    return None if value != value else round(value, 4)

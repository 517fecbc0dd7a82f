"""Where the sums of a span of time are read: whole days from `usage_daily`, whole hours from
`usage_hourly`, what is left at the edges from the rows themselves. All three agree."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import Struct

from libs.common.contracts.identity import Principal
from services.analytics.rows import PLAIN_REASON

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DIMENSIONS = "team, user, key_id, key_name, run, agent, provider, asked, model, reason"
SUMS = (
    "requests", "attempts", "errors", "refused", "cached", "unpriced", "simulated", "pii",
    "input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning",
    "web_searches", "cost", "list_cost", "baseline_cost", "saved",
)  # fmt: skip
FROM_ROWS = """if(attempt <= 1, attempts, 0) AS requests,
    toInt64(NOT (outcome = 'reconciled' AND error = 'corrected')) AS attempts,
    outcome = 'error' AS errors,
    outcome = 'refused' AS refused, outcome = 'cached' AS cached,
    toInt64(u.unpriced) AS unpriced, toInt64(u.simulated) AS simulated,
    toInt64(arraySum(mapValues(u.pii))) AS pii,
    input, cache_read, cache_write_5m, cache_write_1h, output, reasoning, web_searches,
    cost, list_cost, baseline_cost, if(baseline_model != '', baseline_cost - cost, 0) AS saved"""


class Piece(Struct, frozen=True):
    table: str
    since: datetime
    until: datetime


class Source(Struct, frozen=True, kw_only=True):
    """A SELECT to put into FROM, with the parameters that it needs."""

    sql: str
    parameters: dict[str, Any]


def pieces(since: datetime, until: datetime, *, daily: bool, hourly: bool) -> list[Piece]:
    """Cut [since, until) so that each piece is read from the coarsest table that is exact."""
    if since >= until:
        return []
    for allowed, table, step in ((daily, "usage_daily", DAY), (hourly, "usage_hourly", HOUR)):
        first, last = _up(since, step), _down(until, step)
        if allowed and first < last:
            return [
                *pieces(since, first, daily=False, hourly=hourly),
                Piece(table, first, last),
                *pieces(last, until, daily=False, hourly=hourly),
            ]
    return [Piece("usage", since, until)]


def source(
    principal: Principal, since: datetime, until: datetime, tz: str = "UTC", by_day: bool = False
) -> Source:
    """Days of a zone other than UTC are cut from hours; of one with half-hours from rows."""
    offsets = {at.astimezone(ZoneInfo(tz)).utcoffset() or timedelta() for at in (since, until)}
    daily = not by_day or offsets == {timedelta()}
    hourly = not by_day or all(offset % HOUR == timedelta() for offset in offsets)
    parameters: dict[str, Any] = {"org": principal.org, "key": principal.key_id}
    selects = []
    for number, piece in enumerate(pieces(since, until, daily=daily, hourly=hourly)):
        parameters |= {f"since{number}": piece.since, f"until{number}": piece.until}
        selects.append(_select(piece.table, number, principal.admin))
    return Source(sql="(" + " UNION ALL ".join(selects) + ")", parameters=parameters)


def scope(admin: bool) -> str:
    """A key sees its own rows, an administrator those of the org."""
    return "org = {org:String}" if admin else "org = {org:String} AND key_id = {key:String}"


def _select(table: str, number: int, admin: bool) -> str:
    column = {"usage": "at", "usage_hourly": "hour", "usage_daily": "day"}[table]
    kind = "DateTime64(6, 'UTC')" if table == "usage" else "DateTime('UTC')"
    sums = FROM_ROWS if table == "usage" else ", ".join(SUMS)
    names = DIMENSIONS
    if table == "usage":
        names = names.replace("reason", f"{PLAIN_REASON} AS reason")
    return f"""SELECT toDateTime({column}, 'UTC') AS moment, {names}, {sums}
        FROM {table} AS u FINAL WHERE {scope(admin)}
        AND {column} >= {{since{number}:{kind}}} AND {column} < {{until{number}:{kind}}}"""


def _down(at: datetime, step: timedelta) -> datetime:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return at - (at - epoch) % step


def _up(at: datetime, step: timedelta) -> datetime:
    return _down(at + step - timedelta(microseconds=1), step)

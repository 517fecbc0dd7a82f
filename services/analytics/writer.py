"""One batch of events into ClickHouse, so that a redelivered event changes nothing.

Rows replace themselves by event id. Rollups are computed anew, from the deduplicated rows, for
every hour and day that a batch touches, before the batch is acknowledged; each computation
carries the time it began as its version, and the latest wins. So a crash anywhere between is
healed by the redelivery, and replicas cannot overwrite a newer sum with an older one: whoever
inserted a row computes its hour afterwards.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from libs.common.contracts.routing import Decision
from libs.common.contracts.spending import Alert, Audit
from libs.common.contracts.usage import Usage
from services.analytics import guesses
from services.analytics.rows import (
    PLAIN_REASON,
    Columns,
    alert_columns,
    decision_columns,
    sort_out,
    usage_columns,
)
from services.analytics.store import BadRow, Store, pieces

E = TypeVar("E")
HOUR, DAY = 3600, 86400

DIMENSIONS = "org, team, user, key_id, run, agent, provider, asked, model, reason"
FROM_ROWS = DIMENSIONS.replace("reason", f"{PLAIN_REASON} AS reason")
SUMS = """requests, attempts, errors, refused, cached, unpriced, simulated, pii, input, cache_read,
    cache_write_5m, cache_write_1h, output, reasoning, web_searches, cost, list_cost,
    baseline_cost, saved"""

HOURS = f"""
INSERT INTO usage_hourly (hour, {DIMENSIONS}, key_name, {SUMS}, version)
WITH outcome = 'reconciled' AND error = 'corrected' AS corrected
SELECT toStartOfHour(at) AS hour, {FROM_ROWS}, any(u.key_name),
    countIf(attempt <= 1 AND NOT corrected), countIf(NOT corrected),
    countIf(outcome = 'error'), countIf(outcome = 'refused'), countIf(outcome = 'cached'),
    countIf(u.unpriced), countIf(u.simulated),
    sum(arraySum(mapValues(u.pii))),
    sum(u.input), sum(u.cache_read), sum(u.cache_write_5m), sum(u.cache_write_1h),
    sum(u.output), sum(u.reasoning), sum(u.web_searches),
    sum(u.cost), sum(u.list_cost), sum(u.baseline_cost),
    sumIf(u.baseline_cost - u.cost, baseline_model != ''), now64(6)
FROM usage AS u FINAL
WHERE org IN {{orgs:Array(String)}} AND at >= {{since:DateTime64(6, 'UTC')}}
    AND at < {{until:DateTime64(6, 'UTC')}} AND toStartOfHour(at) IN {{starts:Array(UInt32)}}
GROUP BY hour, {DIMENSIONS}
SETTINGS do_not_merge_across_partitions_select_final = 1
"""

DAYS = f"""
INSERT INTO usage_daily (day, {DIMENSIONS}, key_name, {SUMS}, version)
SELECT toStartOfDay(hour) AS day, {DIMENSIONS}, any(h.key_name),
    {", ".join(f"sum(h.{name.strip()})" for name in SUMS.split(","))}, now64(6)
FROM usage_hourly AS h FINAL
WHERE org IN {{orgs:Array(String)}} AND hour >= {{since:DateTime('UTC')}}
    AND hour < {{until:DateTime('UTC')}} AND toStartOfDay(hour) IN {{starts:Array(UInt32)}}
GROUP BY day, {DIMENSIONS}
SETTINGS do_not_merge_across_partitions_select_final = 1
"""

Append = Callable[[Sequence[Audit]], Awaitable[None]]
ColumnsOf = Callable[[Sequence[Any]], Columns]
Bury = Callable[[object, str], Awaitable[None]]


class Writer:
    """`append` takes what belongs to the audit trail; `bury` an event that the store will
    never accept, with the reason."""

    def __init__(self, store: Store, append: Append, bury: Bury) -> None:
        self._store, self._append, self._bury = store, append, bury

    async def take(self, events: Sequence[object]) -> None:
        """Write a batch of mixed kinds. Raises Unavailable if the store is away."""
        await self._used(await self._fit(_of(events, Usage), usage_columns))
        await self._plain("decisions", _of(events, Decision), decision_columns)
        await self._plain("alerts", _of(events, Alert), alert_columns)
        await self._append(_of(events, Audit))

    async def _used(self, used: list[Usage]) -> None:
        await guesses.remember(self._store, used)
        await self._insert("usage", used, usage_columns)
        corrected = await guesses.correct(self._store, used)
        await roll_up(
            self._store,
            {event.principal.org for event in used} | {org for org, _ in corrected},
            [event.at for event in used] + [at for _, at in corrected],
        )

    async def _plain(self, table: str, events: list[E], columns_of: ColumnsOf) -> None:
        await self._insert(table, await self._fit(events, columns_of), columns_of)

    async def _fit(self, events: list[E], columns_of: ColumnsOf) -> list[E]:
        """The events but for those that no column can hold."""
        fitting, others = sort_out(events, columns_of) if events else ([], [])
        for event, why in others:
            await self._bury(event, why)
        return fitting

    async def _insert(self, table: str, events: list[E], columns_of: ColumnsOf) -> None:
        """Insert them all; if a value among them is refused, halve until it stands alone."""
        if not events:
            return
        try:
            await self._store.insert(table, columns_of(events))
        except BadRow as error:
            if len(events) == 1:
                await self._bury(events[0], error.detail)
                return
            half = len(events) // 2
            await self._insert(table, events[:half], columns_of)
            await self._insert(table, events[half:], columns_of)


async def roll_up(store: Store, orgs: set[str], times: Sequence[float]) -> None:
    """Compute the hours and days of these times anew."""
    if not times:
        return
    for statement, step in ((HOURS, HOUR), (DAYS, DAY)):
        for starts in pieces(sorted({int(at) // step * step for at in times})):
            span = {"since": starts[0], "until": starts[-1] + step, "starts": starts}
            await store.write(statement, orgs=sorted(orgs), **span)


def _of(events: Sequence[object], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


async def rebuild(store: Store) -> AsyncIterator[tuple[int, int]]:
    """Compute every hour and day anew; yields how many days are done, and of how many."""
    days = await store.read_own_writes(
        """SELECT toUnixTimestamp(toStartOfDay(at)) AS day, groupUniqArray(org) AS orgs
        FROM usage GROUP BY day ORDER BY day"""
    )
    for done, row in enumerate(days, 1):
        hours = [row["day"] + hour * HOUR for hour in range(24)]
        await roll_up(store, set(row["orgs"]), hours)
        yield done, len(days)

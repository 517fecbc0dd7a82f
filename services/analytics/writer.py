"""One batch of events into ClickHouse, so that a redelivered event changes nothing.

Rows replace themselves by event id. Rollups are computed anew, from the deduplicated rows, for
every hour and day that a batch touches, before the batch is acknowledged; each computation
carries the time it began as its version, and the latest wins. So a crash anywhere between is
healed by the redelivery, and replicas cannot overwrite a newer sum with an older one: whoever
inserted a row computes its hour afterwards.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from libs.common.contracts.routing import Decision
from libs.common.contracts.spending import Alert, Audit
from libs.common.contracts.usage import Usage
from services.analytics import guesses
from services.analytics.rows import Row, alert_row, decision_row, usage_row
from services.analytics.store import BadRow, Store

log = logging.getLogger(__name__)
E = TypeVar("E")
HOUR, DAY = 3600, 86400

DIMENSIONS = "org, team, user, key_id, run, agent, provider, asked, model, reason"
SUMS = """requests, attempts, errors, refused, cached, unpriced, simulated, pii, input, cache_read,
    cache_write_5m, cache_write_1h, output, reasoning, web_searches, cost, list_cost,
    baseline_cost, saved"""

HOURS = f"""
INSERT INTO usage_hourly (hour, {DIMENSIONS}, key_name, {SUMS}, version)
WITH outcome = 'reconciled' AND error = 'corrected' AS corrected
SELECT toStartOfHour(at) AS hour, {DIMENSIONS}, any(u.key_name),
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
Bury = Callable[[object, str], Awaitable[None]]


class Writer:
    """`append` takes what belongs to the audit trail; `bury` an event that the store will
    never accept, with the reason."""

    def __init__(self, store: Store, append: Append, bury: Bury) -> None:
        self._store, self._append, self._bury = store, append, bury

    async def take(self, events: Sequence[object]) -> None:
        """Write a batch of mixed kinds. Raises Unavailable if the store is away."""
        await self._used(await self._fit(_of(events, Usage), usage_row))
        await self._insert("decisions", await self._fit(_of(events, Decision), decision_row))
        await self._insert("alerts", await self._fit(_of(events, Alert), alert_row))
        await self._append(_of(events, Audit))

    async def _used(self, pairs: list[tuple[Usage, Row]]) -> None:
        used = [event for event, _ in pairs]
        await guesses.remember(self._store, used)
        await self._insert("usage", pairs)
        corrected = await guesses.correct(self._store, used)
        await roll_up(
            self._store,
            {event.principal.org for event in used} | {org for org, _ in corrected},
            [event.at for event in used] + [at for _, at in corrected],
        )

    async def _fit(self, events: list[E], row_of: Callable[[E], Row]) -> list[tuple[E, Row]]:
        """The events with their rows, but for those that no column can hold."""
        pairs = []
        for event in events:
            try:
                pairs.append((event, row_of(event)))
            except ValueError as error:
                await self._bury(event, str(error))
        return pairs

    async def _insert(self, table: str, pairs: list[tuple[E, Row]]) -> None:
        """Insert them all; if a value among them is refused, halve until it stands alone."""
        if not pairs:
            return
        lines = msgspec.json.Encoder().encode_lines([row for _, row in pairs])
        try:
            await self._store.insert(table, lines)
        except BadRow as error:
            if len(pairs) == 1:
                await self._bury(pairs[0][0], error.detail)
                return
            half = len(pairs) // 2
            await self._insert(table, pairs[:half])
            await self._insert(table, pairs[half:])


async def roll_up(store: Store, orgs: set[str], times: Sequence[float]) -> None:
    """Compute the hours and days of these times anew."""
    times = [at for at in times if 0 <= at < 2**32 - DAY]
    if not times:
        return
    for statement, step in ((HOURS, HOUR), (DAYS, DAY)):
        starts = sorted({int(at) // step * step for at in times})
        await store.write(
            statement, orgs=sorted(orgs), since=starts[0], until=starts[-1] + step, starts=starts
        )


def _of(events: Sequence[object], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]

"""Hourly and daily sums that survive any redelivery.

They are computed anew, from the deduplicated rows, for every hour that has changed. Which those
are is noted in ClickHouse (`dirty`) after the rows are in and before the batch is acknowledged:
a crash before the note is healed by the redelivery, one after it by whoever looks next. Each
computation carries the time it began as its version and the latest wins, so replicas cannot
overwrite a newer sum with an older one.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence

from libs.common.errors import Unavailable
from services.analytics.rows import PLAIN_REASON
from services.analytics.store import Store, pieces

log = logging.getLogger(__name__)
LOOK_SECONDS = 30.0  # another replica may have died between its note and its sums
AWAY_SECONDS = 1.0
# The sums are computed once for many batches: they are the dearest statements. Whoever asks for
# a report has them computed sooner, and waits for that as long as it is quick.
REST_SECONDS, REST = 10.0, 19.0
ASKED_SECONDS, ASKED_REST, QUICK_SECONDS = 1.0, 4.0, 0.25
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

MARK = """
INSERT INTO dirty (org, hour, version, clean)
SELECT arrayJoin({orgs:Array(String)}), arrayJoin({hours:Array(UInt32)}),
    toUnixTimestamp64Nano(now64(9)), false
"""
MARKED = "SELECT org, toUnixTimestamp(hour) AS hour, version FROM dirty FINAL WHERE NOT clean"
DONE = """
INSERT INTO dirty (org, hour, version, clean)
SELECT org, hour, version, true FROM dirty FINAL WHERE NOT clean AND version <= {seen:UInt64}
"""


class Rollups:
    """`mark` notes what changed; `run` computes it, taking at most a twentieth of the time, and
    `freshen` for a report that cannot wait so long."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = asyncio.Lock()
        self._ended = self._took = 0.0
        self._wake, self._asked = asyncio.Event(), asyncio.Event()
        self._wake.set()  # what an earlier process left behind

    async def mark(self, changed: Iterable[tuple[str, float]]) -> None:
        """Org and time of each row that is new or different."""
        pairs = {(org, int(at) // HOUR * HOUR) for org, at in changed}
        if not pairs:
            return
        orgs = sorted({org for org, _ in pairs})
        for hours in pieces(sorted({hour for _, hour in pairs})):
            await self._store.write(MARK, orgs=orgs, hours=hours)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled. What is noted and not computed yet is found by the next start."""
        while True:
            await self._woken()
            try:
                await self.settle()
            except Unavailable as error:
                log.warning("the sums must wait: %s", error)
                self._wake.set()
                await asyncio.sleep(AWAY_SECONDS)
            self._asked.clear()
            await _either(self._asked, max(REST_SECONDS, REST * self._took))

    async def freshen(self) -> None:
        """Compute what is noted, unless that was done just now; what takes long is only begun.
        Raises Unavailable if the store is away."""
        age = asyncio.get_running_loop().time() - self._ended
        if age < max(ASKED_SECONDS, ASKED_REST * self._took):
            return
        if self._took < QUICK_SECONDS:
            await self.settle()
        else:
            self._asked.set()
            self._wake.set()

    async def settle(self) -> None:
        """Compute everything that is noted."""
        clock = asyncio.get_running_loop().time
        async with self._turn:
            began = clock()
            await self._settle()
            self._ended = clock()
            self._took = self._ended - began

    async def _settle(self) -> None:
        marked = await self._store.read_own_writes(MARKED)
        if not marked:
            return
        await roll_up(self._store, {row["org"] for row in marked}, [row["hour"] for row in marked])
        await self._store.write(DONE, seen=max(row["version"] for row in marked))

    async def _woken(self) -> None:
        await _either(self._wake, LOOK_SECONDS)
        self._wake.clear()


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Wait for the event, or so long."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def roll_up(store: Store, orgs: set[str], times: Sequence[float]) -> None:
    """Compute the hours and days of these times anew."""
    if not times:
        return
    for statement, step in ((HOURS, HOUR), (DAYS, DAY)):
        for starts in pieces(sorted({int(at) // step * step for at in times})):
            span = {"since": starts[0], "until": starts[-1] + step, "starts": starts}
            await store.write(statement, orgs=sorted(orgs), **span)


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

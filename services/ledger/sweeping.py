"""Reservations that nobody settled: told to the journal as rows of ours, marked `reconciled`.

The row is booked like any other when the journal hands it back, so the book and the rows agree
whatever dies in between. Should the provider's figures arrive after all, they replace it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from libs.common.bus import Bus
from libs.common.contracts.usage import USED, Usage
from libs.common.errors import Unavailable
from libs.common.outbox import Outbox
from libs.common.tasks import end
from libs.common.telemetry import LEDGER_RECONCILED
from services.ledger import names
from services.ledger.book import Clock
from services.ledger.forms import Call, Note
from services.ledger.rebuild import Keeper
from services.ledger.store import AWAY, Store

log = logging.getLogger(__name__)
# A replica that takes an expired reservation has so long to get it booked.
LEASE = 60


class Sweeper:
    def __init__(
        self, bus: Bus, store: Store, outbox: Outbox, keeper: Keeper, clock: Clock
    ) -> None:
        self._bus, self._store, self._outbox = bus, store, outbox
        self._keeper, self._now = keeper, clock

    async def sweep(self) -> int:
        """Tell the journal of every expired reservation; returns how many."""
        told = 0
        for org in await self._store.redis.smembers(names.ORGS):
            told += await self._sweep(str(org, "utf-8") if isinstance(org, bytes) else org)
        return told

    async def _sweep(self, org: str) -> int:
        redis, open_calls = self._store.redis, names.tenant(org, "open")
        told = 0
        for id in await self._store.run("expired", [open_calls], [self._now(), LEASE]):
            packed = await redis.get(names.tenant(org, "call", id.decode()))
            call = msgspec.msgpack.decode(packed, type=Call) if isinstance(packed, bytes) else None
            if call is None or call.state != "open":
                await redis.zrem(open_calls, id)
                continue
            row = reconciled(call, self._now())
            self._outbox.put(USED, row, row.id)
            LEDGER_RECONCILED.inc()
            told += 1
            log.warning("%s was never settled; its input estimate is booked", row.id)
        return told

    @asynccontextmanager
    async def running(self, every: float) -> AsyncIterator[None]:
        """Sweep in the background, every so many seconds."""
        task = asyncio.create_task(self._run(every), name="sweep")
        try:
            yield
        finally:
            await end(task)

    async def _run(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            if self._bus.connected:
                with contextlib.suppress(*AWAY, Unavailable):
                    await self._keeper.watch()
                    await self.sweep()


def reconciled(call: Call, now: float) -> Usage:
    """The row of a call whose end nobody saw: its input estimate, never above what was held."""
    note = msgspec.json.decode(call.note, type=Note)
    cost = min(call.input_cost, call.reserved)
    return Usage(
        request_id=note.request_id,
        attempt=note.attempt,
        at=now,
        principal=note.principal,
        reservation=f"{note.request_id}.{note.attempt}",
        reserved=call.reserved,
        model=call.model,
        deployment=call.deployment,
        cost=cost,
        list_cost=cost,
        batch=note.batch,
        billed=False,
        status=0,
        outcome="reconciled",
        error="the end of the call was never told",
    )

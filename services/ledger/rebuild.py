"""The book from the journal: definitions from the state stream, spending from the usage stream.

A store that was wiped would admit everything, so each tenant's book carries a mark, without
which nothing is reserved. The mark returns once the journal was replayed.
"""

import asyncio
import logging
import time

from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.spending import ALERTED
from libs.common.contracts.usage import USED, Usage
from libs.common.errors import Unavailable
from libs.common.replay import Progress, replay
from libs.common.tasks import end
from services.ledger import names
from services.ledger.book import REBUILDING, Book, Outcome, Unbooked
from services.ledger.months import Sums, add_row, close_month, restore_months
from services.ledger.recent import Held, open_calls, put_back
from services.ledger.register import Register
from services.ledger.store import AWAY, Scripts, Store
from services.ledger.windows import HOUR, LETTERS

log = logging.getLogger(__name__)
LOCK = "ledger:rebuilding"
# A rebuild that stopped without a word is taken over after so many seconds.
LOCK_SECONDS = 30
# With `appendfsync everysec` a crash loses a second or two; a slow disk may lose more.
CRASH_SECONDS = 300.0
# Within this every replica notices that Redis is back.
GRACE = 0.5


class Rebuilt(Struct, frozen=True, kw_only=True):
    rows: int = 0
    cost: int = 0


class Keeper:
    """Keeps the book whole: writes the marks, and rebuilds what they say is missing."""

    def __init__(self, bus: Bus, store: Store, register: Register, book: Book) -> None:
        self._bus, self._store, self._register, self._book = bus, store, register, book
        self._now, self._looked = book.now, 0.0
        self._task: asyncio.Task[None] | None = None
        self.progress: Progress = lambda done, total: None
        store.on_restart = self._restarted

    async def ensure(self, org: str) -> None:
        """Open a new tenant's book. Raises Unbooked while the whole book is being rebuilt."""
        redis = self._store.redis
        if await redis.exists(names.BOOK):
            await redis.sadd(names.ORGS, org)
            await redis.set(names.tenant(org, "book"), 1)
            return
        self._start()
        raise Unbooked(REBUILDING, {"retry_after": 2})

    async def settle(self, row: Usage) -> Outcome:
        """Book a row, in a new book if need be. Raises Unbooked during a rebuild."""
        try:
            return await self._book.settle(row)
        except Unbooked:
            await self.ensure(row.principal.org)
            return await self._book.settle(row)

    async def open(self) -> None:
        """Bring the store up to date at the start of a replica; a store that is away waits."""
        try:
            if await self._store.redis.exists(names.BOOK):
                await self._register.restore()
            else:
                await self.rebuild()
            await self._catch_up()
        except AWAY as error:
            log.error("the budget store is away: %s", error or type(error).__name__)

    async def rebuild(self) -> Rebuilt:
        """Make the book anew from the journal. Another replica that does so already is waited
        for; what it left undone would be done again."""
        while not await self._store.redis.set(LOCK, self._bus.name, nx=True, ex=LOCK_SECONDS):
            await asyncio.sleep(0.2)
            if await self._store.redis.exists(names.BOOK):
                return Rebuilt()
        try:
            return await self._rebuild()
        finally:
            await self._store.redis.delete(LOCK)

    async def _rebuild(self) -> Rebuilt:
        held = await self._wipe()
        await self._register.restore()
        done, orgs = await self._replay_all()
        await self._restore_told()
        await put_back(self._store, held)
        for org in orgs | self._register.orgs():
            await self._store.redis.sadd(names.ORGS, org)
            await self._store.redis.set(names.tenant(org, "book"), 1)
        await self._store.redis.set(names.BOOK, 1)
        if done.rows:
            log.info("the book was rebuilt from %d rows of the journal", done.rows)
        return done

    async def watch(self) -> None:
        """Book what a crash of Redis has taken, and close the month that has passed. Called
        every few seconds."""
        if await self._store.redis.exists(names.BOOK):
            await self._catch_up()
        if self._now() - self._looked > HOUR:
            await close_month(self._register, self._store, self._now())
            self._looked = self._now()

    async def _restarted(self, scripts: Scripts, heard: float) -> None:
        """Put back what Redis may have lost, and wait until every replica has done so: nobody
        reserves before. The rows it has lost follow from the journal, see `watch`."""
        lost = await self._book.recent.repeat(scripts, heard)
        await self._register.restore(scripts)
        log.warning("redis was started again; %d reservations were put back", lost)
        await asyncio.sleep(GRACE)

    async def _catch_up(self) -> None:
        """Book the last rows of the journal anew if this Redis is not the one that had them."""
        redis, rows, running = self._store.redis, 0, await self._store.run_name()
        mark = await redis.get(names.RUN)
        known, _, at = mark.decode().partition(" ") if isinstance(mark, bytes) else ("", "", "")
        if known not in ("", running):
            async for batch in replay(self._bus, USED, float(at) - CRASH_SECONDS):
                for row in batch:
                    rows += (await self.settle(row)).news
            log.warning("redis was started again; %d rows were missing and are booked", rows)
        await redis.set(names.RUN, f"{running} {time.time():.0f}")

    async def _wipe(self) -> list[Held]:
        """Forget everything but the open reservations, which no journal has. The marks go
        first: nothing is reserved or booked meanwhile."""
        redis, held = self._store.redis, []
        orgs = {str(org, "utf-8") for org in await redis.smembers(names.ORGS)}  # type: ignore[arg-type]
        await redis.delete(names.BOOK)
        for org in orgs | self._register.orgs():
            await redis.delete(names.tenant(org, "book"))
            held += [each async for each in open_calls(self._store, org)]
        async for key in redis.scan_iter(match="ledger:*", count=1000):
            if key != LOCK.encode():
                await redis.delete(key)
        return held

    async def close(self) -> None:
        if self._task:
            await end(self._task)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._in_background(), name="rebuild")

    async def _in_background(self) -> None:
        try:
            await self.rebuild()
        except (*AWAY, Unavailable) as error:
            log.error("the book could not be rebuilt yet: %s", error)

    async def _replay_all(self) -> tuple[Rebuilt, set[str]]:
        rows = cost = 0
        orgs: set[str] = set()
        months: Sums = {}
        async for batch in replay(self._bus, USED, progress=self.progress):
            for row in batch:
                outcome = await self._book.settle(row, replays=True)
                rows += outcome.news
                cost += outcome.cost
                add_row(months, row, outcome.cost)
                orgs.add(row.principal.org)
            await self._store.redis.expire(LOCK, LOCK_SECONDS)
        await restore_months(self._register, self._store, months)
        return Rebuilt(rows=rows, cost=cost), orgs

    async def _restore_told(self) -> None:
        """What was alerted once must not be again."""
        async for batch in replay(self._bus, ALERTED):
            for alert in batch:
                budget = alert.budget
                key = names.tenant(budget.org, "at", budget.scope, budget.scope_id)
                field = f"a{LETTERS[budget.window]}{int(alert.window_start)}"
                await self._store.run("told", [key], [field, alert.threshold])

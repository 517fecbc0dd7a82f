"""The book from the journal: definitions from the state stream, spending from the usage stream.

A store that was wiped would admit everything, so each tenant's book carries a mark, without
which nothing is reserved. The mark returns once the journal was replayed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.spending import ALERTED
from libs.common.contracts.usage import USED
from libs.common.errors import Unavailable
from libs.common.replay import replay
from libs.common.tasks import end
from services.ledger import names
from services.ledger.book import Book, Unbooked
from services.ledger.months import Sums, add_row, close_month, restore_months
from services.ledger.register import Register
from services.ledger.store import AWAY, Store
from services.ledger.windows import HOUR, LETTERS

log = logging.getLogger(__name__)
LOCK = "ledger:rebuilding"
# A rebuild that stopped without a word is taken over after so many seconds.
LOCK_SECONDS = 30
# With `appendfsync everysec` a crash loses a second or two; a slow disk may lose more.
CRASH_SECONDS = 300.0


class Rebuilt(Struct, frozen=True, kw_only=True):
    rows: int = 0
    cost: int = 0


class Keeper:
    """Keeps the book whole: writes the marks, and rebuilds what they say is missing."""

    def __init__(self, bus: Bus, store: Store, register: Register, book: Book) -> None:
        self._bus, self._store, self._register, self._book = bus, store, register, book
        self._now, self._looked = book.now, 0.0
        self._task: asyncio.Task[None] | None = None
        self._run = ""

    async def ensure(self, org: str) -> None:
        """Open a new tenant's book. Raises Unbooked while the whole book is being rebuilt."""
        redis = self._store.redis
        if await redis.exists(names.BOOK):
            await redis.sadd(names.ORGS, org)
            await redis.set(names.tenant(org, "book"), 1)
            return
        self._start()
        raise Unbooked(
            "The budget store is being rebuilt; try again in a moment.", {"retry_after": 2}
        )

    async def open(self) -> None:
        """Bring the store up to date at the start of a replica; a store that is away waits."""
        try:
            self._run = await self._run_id()
            if await self._store.redis.exists(names.BOOK):
                await self._register.restore()
            else:
                await self.rebuild()
        except AWAY as error:
            log.error("the budget store is away: %s", error or type(error).__name__)

    async def rebuild(self) -> Rebuilt:
        """Definitions and spending from the journal; what is booked already counts once."""
        await self._store.redis.delete(names.BOOK)
        async with self._alone() as alone:
            if not alone:
                return Rebuilt()
            await self._register.restore()
            done, orgs = await self._replay()
            await self._restore_told()
            for org in orgs | self._register.orgs():
                await self._store.redis.sadd(names.ORGS, org)
                await self._store.redis.set(names.tenant(org, "book"), 1)
            await self._store.redis.set(names.BOOK, 1)
        if done.rows:
            log.info("the book was rebuilt from %d rows of the journal", done.rows)
        return done

    async def watch(self) -> None:
        """Notice that Redis was started again: after a crash it may lack its last moments,
        which the journal has. Close the month that has passed. Called every few seconds."""
        run = await self._run_id()
        if self._run and run != self._run and await self._store.redis.exists(names.BOOK):
            done, _ = await self._replay(time.time() - CRASH_SECONDS)
            log.warning("redis was restarted; %d rows were missing and are booked", done.rows)
        self._run = run
        if self._now() - self._looked > HOUR:
            await close_month(self._register, self._store, self._now())
            self._looked = self._now()

    async def _run_id(self) -> str:
        """Another one after every start of Redis."""
        return str((await self._store.redis.info("server"))["run_id"])

    async def wipe(self) -> None:
        """Forget everything. The marks go first, so that nothing is reserved meanwhile."""
        redis = self._store.redis
        orgs = [
            str(org, "utf-8") for org in await redis.smembers(names.ORGS) if isinstance(org, bytes)
        ]
        await redis.delete(names.BOOK)
        for org in orgs:
            await redis.delete(names.tenant(org, "book"))
        for org in orgs:
            async for key in redis.scan_iter(match=names.tenant(_escaped(org), "*"), count=1000):
                await redis.delete(key)
        await redis.delete(names.KEYS_BY_HASH, names.KEYS_BY_ID, names.ORGS)

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

    async def _replay(self, since: float = 0.0) -> tuple[Rebuilt, set[str]]:
        rows = cost = 0
        orgs: set[str] = set()
        months: Sums = {}
        async for batch in replay(self._bus, USED, since):
            for row in batch:
                outcome = await self._book.settle(row)
                rows += outcome.news
                cost += outcome.cost
                add_row(months, row, outcome.cost)
                orgs.add(row.principal.org)
            await self._store.redis.expire(LOCK, LOCK_SECONDS)
        if not since:
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

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[bool]:
        """Whether this replica is the one that rebuilds."""
        redis = self._store.redis
        if not await redis.set(LOCK, self._bus.name, nx=True, ex=LOCK_SECONDS):
            yield False
            return
        try:
            yield True
        finally:
            await redis.delete(LOCK)


def _escaped(org: str) -> str:
    """The tenant's name without meaning for a pattern."""
    return "".join(f"\\{c}" if c in "*?[]\\^-" else c for c in org)

"""The book from the journal: definitions from the state stream, spending from the usage stream.

A store that was wiped would admit everything, so each tenant's book carries a mark, without
which nothing is reserved. The mark returns once the journal was replayed.
"""

import asyncio
import logging
import secrets

from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.spending import ALERTED
from libs.common.contracts.usage import USED, Usage
from libs.common.errors import Unavailable
from libs.common.replay import Progress, reached, replay
from libs.common.tasks import end
from services.ledger import names
from services.ledger.book import Book, Outcome, matters
from services.ledger.marks import REBUILDING, Claim, Marks, Unbooked, locked
from services.ledger.months import Sums, add_row, close_month, restore_months
from services.ledger.recent import open_calls
from services.ledger.register import Register
from services.ledger.store import AWAY, Scripts, Store
from services.ledger.windows import HOUR, LETTERS

log = logging.getLogger(__name__)
# The durable consumer whose rows `Settler` books.
DURABLE = "ledger"
# Within this every replica notices that Redis is back.
GRACE = 0.5


class Rebuilt(Struct, frozen=True, kw_only=True):
    rows: int = 0
    cost: int = 0


class Keeper:
    """Keeps the book whole: writes the marks, and rebuilds what they say is missing."""

    def __init__(self, bus: Bus, store: Store, register: Register, book: Book) -> None:
        self._bus, self._store, self._register, self._book = bus, store, register, book
        self._marks = Marks(store)
        self._now, self._looked = book.now, 0.0
        self._task: asyncio.Task[None] | None = None
        self._admitting: dict[str, asyncio.Task[bool]] = {}
        self.progress: Progress = lambda done, total: None
        store.on_restart = self._restarted

    async def ensure(self, org: str) -> None:
        """Open a new tenant's book. Raises Unbooked while the whole book is being rebuilt."""
        if not await self._admitted(org):
            self._start()
            raise Unbooked(REBUILDING, {"retry_after": 2})

    async def _admitted(self, org: str) -> bool:
        """The first calls of a tenant come at once: one asks, the others wait for it."""
        asking = self._admitting.get(org)
        if asking is None or asking.done():
            asking = asyncio.create_task(self._marks.admit(org), name="admit a tenant")
            self._admitting[org] = asking
            asking.add_done_callback(lambda _: self._admitting.pop(org, None))
        return await asyncio.shield(asking)

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
            if await self._marks.whole():
                await self._register.restore()
            else:
                await self.rebuild()
            await self._catch_up()
        except (*AWAY, Unavailable) as error:
            log.error("the book cannot be opened yet: %s", error or type(error).__name__)

    async def rebuild(self, *, anew: bool = False) -> Rebuilt:
        """Make the book from the journal, one replica at a time; one that stands is left alone
        unless it is to be made anew. Raises Unavailable if it has to be begun again."""
        name = f"{self._bus.name}.{secrets.token_hex(8)}"
        async with locked(self._store, name):
            if not anew and await self._marks.whole():
                return Rebuilt()
            return await self._rebuild(name)

    async def _rebuild(self, name: str) -> Rebuilt:
        run, at = await self._store.run_name(), await reached(self._bus, DURABLE)
        claim = await self._marks.close(name, self._register.orgs())
        await self._begin(claim)
        await self._register.restore()
        done = await self._replay_all(claim)
        await self._restore_told()
        if not await self._note(run, at.acknowledged):
            raise Unavailable("redis was started again while the book was rebuilt")
        await claim.open()
        if done.rows:
            log.info("the book was rebuilt from %d rows of the journal", done.rows)
        return done

    async def watch(self) -> None:
        """Book what a crash of Redis has taken, and close the month that has passed. Called
        every few seconds."""
        if await self._marks.whole():
            await self._catch_up()
        else:
            self._start()
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
        """Book anew what this Redis lacks of the rows that were booked when it was another run:
        it keeps its writes in order, so none up to the note it has. Rows that nobody has booked
        yet are no loss; among those handed out a few may be booked, though not acknowledged."""
        run, note = await self._store.run_name(), await self._store.redis.get(names.REACHED)
        at = await reached(self._bus, DURABLE)  # last: what is booked from here on, this run has
        known, _, number = note.decode().partition(" ") if isinstance(note, bytes) else ("", "", "")
        if known not in ("", run):
            lost = await self._book_anew(min(int(number), at.acknowledged), at.acknowledged)
            if lost:
                log.warning("redis had lost %d rows that were booked; they are again", lost)
            waiting = await self._book_anew(at.acknowledged, at.delivered)
            log.debug("%d rows were handed out and not booked before redis ended", waiting)
        await self._note(run, at.acknowledged)

    async def _book_anew(self, after: int, until: int) -> int:
        """Book the rows of some messages of the journal; returns how many were not."""
        missing = 0
        if after < until:
            async for batch in replay(self._bus, USED, after=after, until=until):
                for row in filter(matters, batch):
                    missing += (await self.settle(row)).news
        return missing

    async def _note(self, run: str, number: int) -> bool:
        """Note that this run of Redis has all rows up to a message; False if it has ended."""
        return bool(await self._store.run("reached", [names.REACHED], [run, number]))

    async def _begin(self, claim: Claim) -> None:
        """Forget everything but the open reservations, which no journal has."""
        kept: set[str] = set()
        reserved: dict[tuple[str, str, str], tuple[int, int]] = {}
        for org in claim.orgs:
            kept.add(names.tenant(org, "open"))
            for each in await open_calls(self._store, org):
                kept.add(names.tenant(org, "call", each.id))
                for scope in names.scopes(each.principal):
                    held, count = reserved.get((org, *scope), (0, 0))
                    reserved[(org, *scope)] = held + each.call.reserved, count + 1
        await claim.wipe(kept)
        for (org, kind, id), figures in reserved.items():
            await claim.run("recount", org, [names.tenant(org, "at", kind, id)], *figures)

    async def close(self) -> None:
        for task in (self._task, *self._admitting.values()):
            if task:
                await end(task)

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._in_background(), name="rebuild")

    async def _in_background(self) -> None:
        try:
            await self.rebuild()
        except (*AWAY, Unavailable) as error:
            log.error("the book could not be rebuilt yet: %s", error)

    async def _replay_all(self, claim: Claim) -> Rebuilt:
        rows = cost = 0
        months: Sums = {}
        async for batch in replay(self._bus, USED, progress=self.progress):
            for row in filter(matters, batch):
                await claim.add(row.principal.org)
                outcome = await self._book.settle(row, claim.name)
                rows += outcome.news
                cost += outcome.cost
                add_row(months, row, outcome.cost)
        await restore_months(self._register, claim, months)
        return Rebuilt(rows=rows, cost=cost)

    async def _restore_told(self) -> None:
        """What was alerted once must not be again."""
        async for batch in replay(self._bus, ALERTED):
            for alert in batch:
                budget = alert.budget
                key = names.tenant(budget.org, "at", budget.scope, budget.scope_id)
                field = f"a{LETTERS[budget.window]}{int(alert.window_start)}"
                await self._store.run("told", [key], [field, alert.threshold])

"""What says that a book is complete, and who may write in it.

Spending is written in a tenant's book under its mark only: OPEN for everybody, or the name of a
rebuild for that one. The scripts compare: who comes late to a book that was closed changes
nothing in it, and who goes on with a rebuild that another took over at most closes books again,
which the next who needs them finds (`admit`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from libs.common.errors import Unavailable
from libs.common.tasks import end
from services.ledger import names
from services.ledger.store import AWAY, Store, in_groups

OPEN = "1"
REBUILDING = "The budget store is being rebuilt; try again in a moment."
# A rebuild that stopped without a word is taken over after so many seconds.
LOCK_SECONDS = 30


class Unbooked(Unavailable):
    """The tenant's book is not open: it is new, being rebuilt, or the store was wiped."""


class Marks:
    """A tenant is listed before the whole book is looked for, and the whole book is closed
    before the list is read: either the rebuild knows the tenant, or the tenant the rebuild."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def whole(self) -> bool:
        return bool(await self._store.redis.exists(names.BOOK))

    async def check(self, org: str) -> None:
        """Raises Unbooked while what the tenant's book says is not complete."""
        whole, mark = await self._store.redis.mget(names.BOOK, names.mark(org))
        if not whole or mark not in (None, OPEN.encode()):
            raise Unbooked(REBUILDING, {"retry_after": 2})

    async def admit(self, org: str) -> bool:
        """Open a new tenant's book; not while the whole book is missing. One that is left at
        the name of a rebuild, though none is under way, makes the whole book missing."""
        redis = self._store.redis
        await redis.sadd(names.ORGS, org)
        if not await self.whole():
            return False
        rebuilding = await redis.exists(names.LOCK)
        await redis.set(names.mark(org), OPEN, nx=True)
        if rebuilding or await redis.get(names.mark(org)) == OPEN.encode():
            return True
        await redis.delete(names.BOOK)
        return False

    async def close(self, name: str, orgs: set[str]) -> "Claim":
        """Close every book to all but the rebuild of that name."""
        redis = self._store.redis
        await redis.delete(names.BOOK)
        listed = await redis.smembers(names.ORGS)
        known = {names.KEYS_ORG} | orgs | {o.decode() for o in listed if isinstance(o, bytes)}
        for org in known:
            await redis.set(names.mark(org), name)
        return Claim(self._store, name, known)


class Claim:
    """The books that one rebuild holds. `wipe`, `run` and `open` raise Unavailable once another
    rebuild has taken one of them over."""

    def __init__(self, store: Store, name: str, orgs: set[str]) -> None:
        self._store, self.name, self.orgs = store, name, orgs

    async def add(self, org: str) -> None:
        """Hold a tenant that was not listed, too."""
        if org not in self.orgs:
            await self._store.redis.sadd(names.ORGS, org)
            await self._store.redis.set(names.mark(org), self.name, nx=True)
            self.orgs.add(org)

    async def wipe(self, kept: set[str]) -> None:
        """Forget all that lies in the books but what is to be kept, and the marks."""
        async for org, keys in self._found(kept):
            await self.add(org)
            await self.run("wipe", org, [key for key in keys if key != names.mark(org)])

    async def run(self, script: str, org: str, keys: Iterable[str], *args: object) -> None:
        """Run a script that does nothing without this rebuild's mark, and says so by a 0."""
        keys = [names.mark(org), *keys]
        if not await self._store.run(script, keys, [self.name, *args]):
            raise Unavailable("another replica took the rebuild of the book over")

    async def open(self) -> None:
        """Open the books to everybody, and the whole with them."""
        await in_groups(lambda org: self.run("open", org, (), OPEN), sorted(self.orgs))
        await self._store.redis.set(names.BOOK, OPEN)

    async def _found(self, kept: set[str]) -> AsyncIterator[tuple[str, list[str]]]:
        redis, at = self._store.redis, 0
        while True:
            at, some = await redis.scan(at, match="ledger:{*", count=500)
            by_org: dict[str, list[str]] = {}
            for key in (k.decode("utf-8", "surrogatepass") for k in some if isinstance(k, bytes)):
                if key not in kept:
                    by_org.setdefault(names.org_of(key), []).append(key)
            for found in by_org.items():
                yield found
            if not at:
                return


@asynccontextmanager
async def locked(store: Store, name: str) -> AsyncIterator[None]:
    """Wait until nobody else rebuilds, and keep it so."""
    try:
        while not await _taken(store, name):  # noqa: ASYNC110  another process lets go of it
            await asyncio.sleep(0.2)
        task = asyncio.create_task(_keep(store, name), name="rebuild lock")
        try:
            yield
        finally:
            await end(task)
    finally:  # it may also be ours if we were stopped before the answer came
        with contextlib.suppress(*AWAY):
            if await _holds(store, name):
                await store.redis.delete(names.LOCK)


async def _keep(store: Store, name: str) -> None:
    while True:
        await asyncio.sleep(LOCK_SECONDS / 6)
        with contextlib.suppress(*AWAY):
            if await _holds(store, name):
                await store.redis.expire(names.LOCK, LOCK_SECONDS)


async def _taken(store: Store, name: str) -> bool:
    """Also if the answer to an earlier try was lost."""
    new = await store.redis.set(names.LOCK, name, nx=True, ex=LOCK_SECONDS)
    return bool(new) or await _holds(store, name)


async def _holds(store: Store, name: str) -> bool:
    return bool(await store.redis.get(names.LOCK) == name.encode())

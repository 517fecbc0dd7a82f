"""Does the book agree with the journal? Every sum is taken anew from the rows."""

from collections import defaultdict

from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.usage import USED, Usage
from libs.common.replay import replay
from services.ledger import names
from services.ledger.book import Clock
from services.ledger.store import Store
from services.ledger.windows import starts

Field = tuple[str, str, str, str]


class Difference(Struct, frozen=True, kw_only=True):
    """What the book says of one scope and window, and what the rows of the journal sum up to."""

    org: str
    scope: str
    scope_id: str
    window: str
    booked: int
    rows: int


class Checked(Struct, frozen=True, kw_only=True):
    rows: int
    cost: int
    reconciled: int
    open: int
    differences: tuple[Difference, ...]


async def check(bus: Bus, store: Store, clock: Clock) -> Checked:
    """Compare the current windows of every scope that the journal knows."""
    rows = await distinct(bus)
    now = starts(clock())
    sums: dict[Field, int] = defaultdict(int)
    for row in rows.values():
        mine = starts(row.at)
        for scope, scope_id in names.scopes(row.principal):
            for letter, start in now.items():
                sums[(row.principal.org, scope, scope_id, letter)] += (
                    row.cost if mine[letter] == start else 0
                )
    return Checked(
        rows=len(rows),
        cost=sum(row.cost for row in rows.values()),
        reconciled=sum(row.outcome == "reconciled" for row in rows.values()),
        open=await _open(store, {org for org, *_ in sums}),
        differences=tuple(await _differences(store, sums, now)),
    )


async def distinct(bus: Bus) -> dict[str, Usage]:
    """One row per attempt: the first told, but for a guess that the provider's figures replace."""
    rows: dict[str, Usage] = {}
    async for batch in replay(bus, USED):
        for row in batch:
            known = rows.get(row.id)
            if known is None or (known.outcome == "reconciled" != row.outcome):
                rows[row.id] = row
    return rows


async def _differences(
    store: Store, sums: dict[Field, int], now: dict[str, int]
) -> list[Difference]:
    pipe = store.redis.pipeline(transaction=False)
    for org, scope, scope_id, letter in sums:
        pipe.hget(names.tenant(org, "at", scope, scope_id), f"{letter}{now[letter]}")
    figures = await pipe.execute() if sums else []
    return [
        Difference(
            org=org, scope=scope, scope_id=id, window=letter, booked=int(figure or 0), rows=total
        )
        for ((org, scope, id, letter), total), figure in zip(sums.items(), figures, strict=True)
        if int(figure or 0) != total
    ]


async def _open(store: Store, orgs: set[str]) -> int:
    return sum([await store.redis.zcard(names.tenant(org, "open")) for org in sorted(orgs)])

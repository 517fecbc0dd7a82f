"""What a gateway would say to the ledger, in few words."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from libs.common.bus import Bus
from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import (
    LIST_BUDGETS,
    RESERVE,
    SET_BUDGET,
    BudgetState,
    ListBudgets,
    Offer,
    Reservation,
    Reserve,
    SetBudget,
)
from libs.common.contracts.usage import USED, Tokens, Usage
from libs.common.errors import Unavailable
from libs.common.outbox import Outbox

MEMBER = Principal(key_id="key_member", key_name="member", team="core", user="ann")
ADMIN = Principal(key_id="key_admin", key_name="admin", admin=True)


def offer(estimate: int, model: str = "m", **more: Any) -> Offer:
    return Offer(deployment="d", model=model, estimate=estimate, **more)


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.01)


class Client:
    def __init__(self, bus: Bus, outbox: Outbox) -> None:
        self.bus, self.outbox = bus, outbox

    async def budget(self, limit: int, by: Principal = ADMIN, **more: Any) -> BudgetState:
        more = {"window": "daily", "scope": "key", "scope_id": MEMBER.key_id} | more
        return await self.bus.ask(SET_BUDGET, SetBudget(principal=by, limit=limit, **more))

    async def reserve(
        self, id: str, *offers: Offer, by: Principal = MEMBER, **more: Any
    ) -> Reservation:
        ask = Reserve(
            request_id=id, attempt=more.pop("attempt", 1), principal=by, offers=offers, **more
        )
        return await self.bus.ask(RESERVE, ask)

    def row(self, id: str, cost: int, by: Principal = MEMBER, **more: Any) -> Usage:
        more = {
            "attempt": 1,
            "at": time.time(),
            "reservation": f"{id}.1",
            "tokens": Tokens(),
        } | more
        return Usage(request_id=id, principal=by, cost=cost, **more)

    def use(self, id: str, cost: int, by: Principal = MEMBER, **more: Any) -> Usage:
        row = self.row(id, cost, by, **more)
        self.outbox.put(USED, row, row.id)
        return row

    async def states(self, by: Principal = MEMBER, **more: Any) -> tuple[BudgetState, ...]:
        return (await self.bus.ask(LIST_BUDGETS, ListBudgets(principal=by, **more))).budgets

    async def spent(self, by: Principal = MEMBER) -> tuple[int, int]:
        """Spent and reserved of the caller's first budget."""
        state = (await self.states(by))[0]
        return state.spent, state.reserved

    async def settled(
        self, spent: int, reserved: int = 0, by: Principal = MEMBER, seconds: float = 5.0
    ) -> None:
        async def is_so() -> bool:
            with contextlib.suppress(Unavailable):
                return await self.spent(by) == (spent, reserved)
            return False

        await until(is_so, seconds)


def member(number: int, **more: Any) -> Principal:
    return replace(MEMBER, key_id=f"key_{number}", **more)

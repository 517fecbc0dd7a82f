"""How much of a caller's tightest budget is spent, for the rules of routing (`budget_above`).

The last reservation says it; where none was made lately, the ledger is asked. Without an answer
the last known figure holds: a rule may then match a little late, money never depends on it.
"""

import time
from collections import OrderedDict

from msgspec import Struct

from libs.common.bus import Bus
from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import LIST_BUDGETS, ListBudgets, Reservation
from libs.common.errors import MuxError

FRESH_SECONDS = 5.0
ASK_SECONDS = 0.5
MOST_CALLERS = 10_000


class Known(Struct, frozen=True, kw_only=True):
    percent: float
    at: float
    resets_at: float = 0.0


class Spent:
    """Per key and run, as this process last heard of it."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], Known] = OrderedDict()

    def note(self, principal: Principal, held: Reservation) -> None:
        """A reservation names the tightest budget, or that there is none."""
        tightest = held.tightest
        self._keep(
            principal,
            percent=tightest.percent if tightest else 0.0,
            resets_at=tightest.resets_at if tightest else 0.0,
        )

    async def percent(self, bus: Bus, principal: Principal) -> float:
        """0.0 where no budget applies."""
        known, now = self._known.get(_name(principal)), time.time()
        if known and known.resets_at and now >= known.resets_at:
            known = None
        if known and now - known.at < FRESH_SECONDS:
            return known.percent
        try:
            found = await bus.ask(LIST_BUDGETS, ListBudgets(principal=principal), ASK_SECONDS)
        except MuxError:
            return known.percent if known else 0.0
        tightest = min(found.budgets, key=lambda state: state.remaining, default=None)
        return self._keep(
            principal,
            percent=tightest.percent if tightest else 0.0,
            resets_at=tightest.resets_at if tightest else 0.0,
        )

    def _keep(self, principal: Principal, *, percent: float, resets_at: float) -> float:
        name = _name(principal)
        self._known[name] = Known(percent=percent, at=time.time(), resets_at=resets_at)
        self._known.move_to_end(name)
        if len(self._known) > MOST_CALLERS:
            self._known.popitem(last=False)
        return percent


def _name(principal: Principal) -> tuple[str, str]:
    return principal.key_id, principal.run

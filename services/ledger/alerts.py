"""Alerts: once per budget, window and threshold, even if we die in between.

An alert is handed to the journal (its id makes repeats count once) before it is marked as
told, and is due again until the mark is there. Webhooks follow from the journal.
"""

import time
from collections.abc import Callable, Iterable

from libs.common.contracts.spending import ALERTED, Alert, Budget
from libs.common.outbox import Outbox
from libs.common.telemetry import LEDGER_ALERTS
from services.ledger import names
from services.ledger.book import Crossing
from services.ledger.register import Register
from services.ledger.store import Store
from services.ledger.windows import LETTERS


class Alerter:
    def __init__(
        self,
        register: Register,
        store: Store,
        outbox: Outbox,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._register, self._store, self._outbox = register, store, outbox
        self._now = clock

    async def passed(self, crossings: Iterable[Crossing]) -> None:
        """Tell of each threshold below a budget's spending that nobody was told of."""
        for crossing in crossings:
            budget = self._register.budget(
                crossing.org, crossing.scope, crossing.scope_id, crossing.window
            )
            if budget:
                await self._tell(budget, crossing)

    async def _tell(self, budget: Budget, crossing: Crossing) -> None:
        due = due_thresholds(budget, crossing)
        if not due:
            return
        for threshold in due:
            alert = Alert(
                id=f"{budget.id}.{crossing.start}.{threshold:g}",
                at=self._now(),
                budget=budget,
                threshold=threshold,
                spent=crossing.spent,
                window_start=crossing.start,
                refused=crossing.refused,
            )
            self._outbox.put(ALERTED, alert, alert.id)
        letter = LETTERS[budget.window]
        key = names.tenant(budget.org, "at", budget.scope, budget.scope_id)
        if await self._store.run("told", [key], [f"a{letter}{crossing.start}", due[-1]]):
            for threshold in due:
                LEDGER_ALERTS.labels(f"{threshold:g}").inc()


def due_thresholds(budget: Budget, crossing: Crossing) -> list[float]:
    """The thresholds to tell of now. A refusal means that the budget is used up for its
    caller, so all of them are due, whatever little is left."""
    percent = 100.0 if crossing.refused else 100 * crossing.spent / budget.limit
    return [t for t in sorted(budget.thresholds) if crossing.told < t <= percent]

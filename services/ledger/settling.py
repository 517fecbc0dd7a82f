"""Book the journal's usage rows, as long as it takes, and tell what budgets they filled."""

import asyncio
import logging

from libs.common.contracts.usage import Usage
from libs.common.errors import Unavailable
from libs.common.telemetry import LEDGER_OVERRUN, LEDGER_SETTLED, LEDGER_UNPRICED
from services.ledger.alerts import Alerter
from services.ledger.book import Outcome, matters
from services.ledger.marks import Unbooked
from services.ledger.rebuild import Keeper
from services.ledger.store import AWAY, in_groups

log = logging.getLogger(__name__)
# How long to wait before asking an absent store again.
PAUSE = 0.5


class Settler:
    """The handler of the durable consumer. A row is money: it is tried until it is booked."""

    def __init__(self, keeper: Keeper, alerter: Alerter) -> None:
        self._keeper, self._alerter = keeper, alerter
        self._closing = asyncio.Event()

    async def take(self, rows: list[Usage]) -> None:
        await in_groups(self._settle, [row for row in rows if matters(row)])

    def close(self) -> None:
        """Stop waiting for an absent store; the journal delivers again what was not booked."""
        self._closing.set()

    async def _settle(self, row: Usage) -> None:
        while True:
            try:
                outcome = await self._keeper.settle(row)
                break
            except (*AWAY, Unbooked) as error:
                if self._closing.is_set():
                    raise Unavailable("the budget store is away") from error
                log.warning("the budget store is away; %s waits", row.id)
                await asyncio.sleep(PAUSE)
        if outcome.news:
            _count(row, outcome)
        await self._alerter.passed(outcome.crossings)


def _count(row: Usage, outcome: Outcome) -> None:
    LEDGER_SETTLED.labels(row.outcome).inc()
    if outcome.overrun:
        LEDGER_OVERRUN.inc(outcome.overrun)
        log.warning("%s cost %d micro-USD more than reserved", row.id, outcome.overrun)
    if row.unpriced:
        LEDGER_UNPRICED.inc()

"""Reserve with the store, and decide without it while it is away."""

import logging

from libs.common.contracts.spending import Reservation, Reserve
from libs.common.errors import MuxError, Paused, Unavailable
from libs.common.telemetry import LEDGER_DEGRADED, LEDGER_RESERVATIONS
from services.ledger.alerts import Alerter
from services.ledger.book import Book, OverBudget, paused_words
from services.ledger.marks import Unbooked
from services.ledger.rebuild import Keeper
from services.ledger.register import Register
from services.ledger.store import AWAY

log = logging.getLogger(__name__)
RETRY = {"retry_after": 2}


class Reserver:
    def __init__(self, book: Book, register: Register, keeper: Keeper, alerter: Alerter) -> None:
        self._book, self._register = book, register
        self._keeper, self._alerter = keeper, alerter

    async def reserve(self, ask: Reserve) -> Reservation:
        try:
            reservation = await self._reserve(ask)
        except AWAY as error:
            return self._without_store(ask, error)
        except MuxError as error:
            if isinstance(error, OverBudget):
                await self._alerter.passed(error.crossings)
            LEDGER_RESERVATIONS.labels(error.code).inc()
            raise
        LEDGER_RESERVATIONS.labels(_result(reservation)).inc()
        return reservation

    async def _reserve(self, ask: Reserve) -> Reservation:
        try:
            return await self._book.reserve(ask)
        except Unbooked:
            await self._keeper.ensure(ask.principal.org)
            return await self._book.reserve(ask)

    def _without_store(self, ask: Reserve, error: Exception) -> Reservation:
        """Closed where a budget must hold; open where all that is lost is advice."""
        if pause := self._register.pause_of(ask.principal):
            raise Paused(paused_words(pause.scope, pause.reason), {"scope": pause.scope})
        if not self._register.current:
            LEDGER_DEGRADED.labels("closed").inc()
            raise Unavailable("The budgets are being read; try again in a moment.", RETRY)
        firm = [b for b in self._register.budgets_of(ask.principal) if b.mode != "advise"]
        LEDGER_DEGRADED.labels("closed" if firm else "open").inc()
        log.error(
            "the budget store is away (%s): %s",
            type(error).__name__,
            "refused" if firm else "let through",
        )
        if firm:
            raise Unavailable(
                f"The budget store is away and the {firm[0].window} budget of {firm[0].scope} "
                f"{firm[0].scope_id} must hold; try again in a moment.",
                RETRY,
            )
        return Reservation(
            id=f"{ask.request_id}.{ask.attempt}",
            offer=0,
            reserved=ask.offers[0].estimate,
            degraded=True,
        )


def _result(reservation: Reservation) -> str:
    if reservation.max_tokens:
        return "clamped"
    return "downgraded" if reservation.offer else "reserved"

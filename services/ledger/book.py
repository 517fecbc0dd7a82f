"""Reserve and settle: the two transactions on the book.

A reservation takes the worst case out of every budget that applies; the usage event of the
attempt books what it cost and gives the reservation back. Both are idempotent by
`<request>.<attempt>`.
"""

import math
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import Reservation, Reserve, Tightest, Window
from libs.common.contracts.usage import Usage
from libs.common.errors import BudgetExceeded, Conflict, InvalidRequest, Paused
from libs.common.settings.ledger import LedgerSettings
from services.ledger import names, refusals
from services.ledger.forms import Answer, Asked, Bill, Booked, Held, Note, Wanted
from services.ledger.limits import RATED, rates_of, shown_headers
from services.ledger.marks import OPEN, REBUILDING, Unbooked
from services.ledger.recent import Recent
from services.ledger.store import Store
from services.ledger.windows import WINDOWS, starts, window_end

Clock = Callable[[], float]
# A run that was not used for so long starts again at zero; nothing else ever does.
RUN_SECONDS = 90 * 86400


class Crossing(Struct, frozen=True, kw_only=True):
    """A budget whose spending stands above a threshold nobody was told of."""

    org: str
    scope: str
    scope_id: str
    window: Window
    start: int
    spent: int
    told: float
    refused: bool = False


class OverBudget(BudgetExceeded):
    """A refusal, with the budgets that refused."""

    def __init__(self, refusal: BudgetExceeded, crossings: list[Crossing]) -> None:
        super().__init__(refusal.detail, refusal.data)
        self.crossings = crossings


class Outcome(Struct, frozen=True, kw_only=True):
    """What booking a row did: `cost` is by how much the book has grown, `overrun` what the
    row cost beyond its reservation."""

    news: bool
    cost: int
    overrun: int
    crossings: list[Crossing]


class Book:
    """The transactions, on one store. Raises the errors of `store.AWAY` when it is away."""

    def __init__(self, store: Store, settings: LedgerSettings, clock: Clock = time.time) -> None:
        self._store, self._settings, self.now = store, settings, clock
        self.recent = Recent()

    async def reserve(self, ask: Reserve) -> Reservation:
        """Reserve the first offer that fits. Raises BudgetExceeded, LimitExceeded, Paused,
        Conflict, or Unbooked if the store has lost the tenant's book."""
        now = self.now()
        asked = _asked(ask, now, self._settings)
        answer: Answer = await self._store.call(
            "reserve", _reserve_keys(ask.principal, asked), asked, Answer
        )
        if answer.status == "reserved":
            self.recent.add(asked, answer)
        return _reservation(ask, asked, answer)

    async def settle(self, row: Usage, mark: str = OPEN) -> Outcome:
        """Book a row of the journal, once. Raises Unbooked unless the tenant's book bears
        the mark."""
        scopes = names.scopes(row.principal)
        org = row.principal.org
        bill = _bill(row, [scope for scope, _ in scopes], self._settings.keep_settled, mark)
        keys = [names.tenant(org, "call", row.id), names.tenant(org, "open")]
        keys.append(names.mark(org))
        keys += [names.tenant(org, "at", *scope) for scope in scopes]
        keys += [names.tenant(org, "rate", *scope) for scope in scopes if scope[0] in RATED]
        booked: Booked = await self._store.call("settle", keys, bill, Booked)
        if booked.status == "unbooked":
            raise Unbooked(REBUILDING, {"retry_after": 2})
        crossings = [
            Crossing(
                org=org,
                scope=scopes[passed.scope - 1][0],
                scope_id=scopes[passed.scope - 1][1],
                window=WINDOWS[passed.window],
                start=bill.starts[passed.window],
                spent=passed.spent,
                told=passed.told,
            )
            for passed in booked.passed
        ]
        overrun = max(0, row.cost - booked.reserved) if booked.opened else 0
        return Outcome(
            news=booked.status == "booked", cost=booked.cost, overrun=overrun, crossings=crossings
        )


def matters(row: Usage) -> bool:
    """Whether a row changes the book: most refusals and answers from the cache do not."""
    return bool(row.cost or row.reservation)


def _asked(ask: Reserve, now: float, settings: LedgerSettings) -> Asked:
    if not ask.offers:
        raise InvalidRequest("offers: at least one is needed")
    principal = ask.principal
    scopes = names.scopes(principal)
    note = Note(
        request_id=ask.request_id,
        attempt=ask.attempt,
        principal=principal,
        batch=ask.batch,
    )
    default = settings.limits
    return Asked(
        id=f"{ask.request_id}.{ask.attempt}",
        attempt=ask.attempt,
        now=now,
        expires=now + ask.ttl,
        scopes=[scope for scope, _ in scopes],
        starts=starts(now),
        offers=[
            Wanted(
                estimate=offer.estimate,
                max_tokens=offer.max_tokens,
                output_price=offer.output_price,
                input_cost=offer.input_cost,
                model=offer.model,
                deployment=offer.deployment,
            )
            for offer in ask.offers
        ],
        floor=ask.floor,
        cap=ask.cap,
        input_tokens=ask.input_tokens,
        pauses=[f"{scope}:{scope_id}" for scope, scope_id in scopes],
        rates=rates_of(principal, scopes, ask.limits, settings),
        default=(default.rpm, default.tpm, default.concurrency),
        note=msgspec.json.encode(note).decode(),
    )


def _reserve_keys(principal: Principal, asked: Asked) -> list[str]:
    org = principal.org
    keys = [names.mark(org), names.tenant(org, "call", asked.id)]
    keys += [names.tenant(org, kind) for kind in ("open", "pauses", "limits")]
    keys += [names.tenant(org, "at", scope, id) for scope, id in names.scopes(principal)]
    return keys + [names.tenant(org, "rate", rate.name) for rate in asked.rates]


def _reservation(ask: Reserve, asked: Asked, answer: Answer) -> Reservation:
    match answer.status:
        case "reserved":
            return Reservation(
                id=asked.id,
                offer=answer.offer,
                reserved=answer.reserved,
                max_tokens=answer.max_tokens,
                tightest=_tightest(ask.principal, asked, answer.tightest),
                advised=answer.advised,
                rate_headers=shown_headers(answer.rate, asked.now),
            )
        case "refused":
            refusal = refusals.over_budget(ask, asked, answer)
            raise OverBudget(refusal, _refusing(ask.principal, asked, answer))
        case "limited":
            raise refusals.over_limit(answer, asked.now)
        case "paused":
            scope, _, scope_id = answer.name.partition(":")
            raise Paused(
                paused_words(scope, answer.reason),
                {"scope": scope, "scope_id": scope_id, "reason": answer.reason},
            )
        case "unbooked":
            raise Unbooked(REBUILDING, {"retry_after": 2})
    raise Conflict(f"attempt {asked.id} is booked already; a new call needs a new attempt")


def _refusing(principal: Principal, asked: Asked, answer: Answer) -> list[Crossing]:
    scopes = names.scopes(principal)
    return [
        Crossing(
            org=principal.org,
            scope=scopes[held.scope - 1][0],
            scope_id=scopes[held.scope - 1][1],
            window=WINDOWS[held.window],
            start=asked.starts[held.window],
            spent=held.spent,
            told=held.told,
            refused=True,
        )
        for held in answer.against
        if held.scope
    ]


def paused_words(scope: str, reason: str) -> str:
    return f"This {scope} was paused by an administrator: {reason or 'no reason given'}"


def _tightest(principal: Principal, asked: Asked, held: Held | None) -> Tightest | None:
    if held is None:
        return None
    scope, scope_id = names.scopes(principal)[held.scope - 1]
    window = WINDOWS[held.window]
    return Tightest(
        scope=scope,
        scope_id=scope_id,
        window=window,
        remaining=max(0, held.room),
        percent=round(100 * held.spent / held.limit, 4),
        resets_at=window_end(window, asked.now),
    )


def _bill(row: Usage, scopes: list[str], keep: float, mark: str) -> Bill:
    tokens = row.tokens
    return Bill(
        id=row.id,
        cost=row.cost,
        tokens=tokens.input
        + tokens.cache_read
        + tokens.cache_write_5m
        + tokens.cache_write_1h
        + tokens.output,
        guess=row.outcome == "reconciled",
        starts=starts(row.at),
        scopes=len(scopes),
        lasting=[RUN_SECONDS if scope == "run" else 0 for scope in scopes],
        keep=math.ceil(keep),
        mark=mark,
    )

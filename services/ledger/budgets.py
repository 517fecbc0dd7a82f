"""Budgets: who may set, list and delete which, and where each stands."""

import math
import time
from collections.abc import Callable, Iterable

import msgspec

from libs.common.contracts.base import Done
from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import (
    Budget,
    Budgets,
    BudgetState,
    DeleteBudget,
    ListBudgets,
    Scope,
    SetBudget,
)
from libs.common.errors import Forbidden, InvalidRequest, NotFound, Unavailable
from libs.common.money import MAX_USD, MICRO, usd_short
from services.ledger import names
from services.ledger.marks import Marks
from services.ledger.register import BudgetWord, Register
from services.ledger.store import AWAY, Store, away
from services.ledger.windows import LETTERS, window_end, window_start

STRICTNESS = {"advise": 0, "downgrade": 1, "block": 2}
LONGEST_ID = 200
MOST_THRESHOLDS = 10
RETRY = {"retry_after": 2}


class BudgetDesk:
    """The operations on budgets."""

    def __init__(
        self,
        register: Register,
        store: Store,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._register, self._store = register, store
        self._marks, self._now = Marks(store), clock

    async def put(self, ask: SetBudget) -> BudgetState:
        check(ask)
        scope_id = scope_id_of(ask.principal, ask.scope, ask.scope_id)
        id = names.budget_id(ask.principal.org, ask.scope, scope_id, ask.window)
        try:
            before = await self._before(ask.principal.org, id)
            budget = allowed(ask, scope_id, id, before, self._now())
            await self._register.write(BudgetWord(budget=budget))
            return (await self._states([budget]))[0]
        except AWAY as error:
            raise away(error) from error

    async def show(self, ask: ListBudgets) -> Budgets:
        """Those that apply to the caller, or (for an administrator) all of the org."""
        if (ask.all or ask.scope) and not ask.principal.admin:
            raise Forbidden("only an admin key may list the budgets of others")
        try:
            found = await self._read(ask.principal.org, None if ask.all or ask.scope else own(ask))
            wanted = [budget for budget in found if _matches(ask, budget)]
            states = await self._states(wanted)
            await self._marks.check(ask.principal.org)  # their figures lie in the book too
            return Budgets(budgets=tuple(states))
        except AWAY as error:
            raise away(error) from error

    async def remove(self, ask: DeleteBudget) -> Done:
        try:
            found = await self._before(ask.principal.org, ask.id[:LONGEST_ID])
            mine = [b for b in found if ask.principal.admin or _own(ask.principal, b)]
            if not mine:
                raise NotFound(f"id: there is no budget {ask.id[:100]!r}; GET lists yours")
            if by_admin(mine) and not ask.principal.admin:
                raise Forbidden("this budget was set by an administrator; only they may delete it")
            await self._register.write(BudgetWord(budget=mine[0], deleted=True))
        except AWAY as error:
            raise away(error) from error
        return Done()

    async def _before(self, org: str, id: str) -> list[Budget]:
        """What stands under that name, in Redis and in the register. Redis may have lost it, and
        the register may not have read yet what another replica wrote: who changes it is held to
        both."""
        found = await self._read(org, [id])
        if not self._register.current:
            raise Unavailable("The budgets are being read; try again in a moment.", RETRY)
        known = self._register.budget_by_id(org, id)
        return [*found, known] if known else found

    async def _read(self, org: str, ids: list[str] | None) -> list[Budget]:
        """Raises Unbooked where the book may lack some."""
        key = names.tenant(org, "budgets")
        redis = self._store.redis
        found = await redis.hvals(key) if ids is None else await redis.hmget(key, ids)
        await self._marks.check(org)
        budgets = [msgspec.json.decode(text, type=Budget) for text in found if text]
        return sorted(budgets, key=lambda b: (b.scope, b.scope_id, b.window))

    async def _states(self, budgets: list[Budget]) -> list[BudgetState]:
        now = self._now()
        pipe = self._store.redis.pipeline(transaction=False)
        for budget in budgets:
            start = window_start(budget.window, now)
            field = f"{LETTERS[budget.window]}{start}"
            key = names.tenant(budget.org, "at", budget.scope, budget.scope_id)
            pipe.hmget(key, [field, "r", f"a{field}"])
        figures = await pipe.execute() if budgets else []
        return [_state(b, now, row) for b, row in zip(budgets, figures, strict=True)]


def _state(budget: Budget, now: float, figures: list[bytes | None]) -> BudgetState:
    spent, reserved, told = (float(figure or 0) for figure in figures)
    percent = 100 * spent / budget.limit
    return BudgetState(
        budget=budget,
        spent=int(spent),
        reserved=int(reserved),
        window_start=window_start(budget.window, now),
        resets_at=window_end(budget.window, now),
        passed=tuple(t for t in budget.thresholds if t <= max(percent, told)),
    )


def own(ask: ListBudgets) -> list[str]:
    """The names of every budget that could apply to the caller."""
    return [
        names.budget_id(ask.principal.org, scope, scope_id, window)
        for scope, scope_id in names.scopes(ask.principal)
        for window in LETTERS
    ]


def _matches(ask: ListBudgets, budget: Budget) -> bool:
    return ask.scope in ("", budget.scope) and ask.scope_id in ("", budget.scope_id)


def _own(principal: Principal, budget: Budget) -> bool:
    if budget.scope == "run":
        return budget.scope_id.startswith(f"{principal.key_id}/")
    return budget.scope == "key" and budget.scope_id == principal.key_id


def scope_id_of(principal: Principal, scope: Scope, given: str) -> str:
    """The full id of a scope; a member's own key and runs need not be spelled out."""
    match scope:
        case "key":
            return given or principal.key_id
        case "org":
            if given not in ("", principal.org):
                raise InvalidRequest(f"scope_id: your org is {principal.org!r}; leave it out")
            return principal.org
        case "run":
            if not given:
                raise InvalidRequest("scope_id: name the run (its session id)")
            whole = "/" in given and principal.admin
            return given if whole else names.run_of(principal.key_id, given)
    if not given:
        raise InvalidRequest(f"scope_id: name the {scope}")
    return given


def by_admin(budgets: list[Budget]) -> list[Budget]:
    return [budget for budget in budgets if budget.owner == "admin"]


def allowed(ask: SetBudget, scope_id: str, id: str, before: list[Budget], now: float) -> Budget:
    """The budget as it will stand. Raises Forbidden where a member lacks the authority."""
    owner = "admin" if ask.principal.admin else ask.principal.key_id
    budget = Budget(
        id=id,
        org=ask.principal.org,
        scope=ask.scope,
        scope_id=scope_id,
        window=ask.window,
        limit=ask.limit,
        thresholds=ask.thresholds,
        mode=ask.mode,
        clamp=ask.clamp,
        owner=owner,
        created_at=before[0].created_at if before else now,
    )
    if ask.principal.admin:
        return budget
    if not _own(ask.principal, budget):
        raise Forbidden(
            f"scope: a budget of {ask.scope} {scope_id[:100]} needs an admin key; "
            "without one you set budgets of your own key and its runs"
        )
    firm = by_admin(before)
    for held in firm:
        if budget.limit > held.limit or STRICTNESS[budget.mode] < STRICTNESS[held.mode]:
            raise Forbidden(
                f"budget_limit: an administrator set {usd_short(held.limit)} {held.window} "
                f"({held.mode}); you may tighten it, only they may loosen it"
            )
    return msgspec.structs.replace(budget, owner="admin") if firm else budget


def check(ask: SetBudget) -> None:
    """Raises InvalidRequest that names the field and the fix."""
    if not 0 < ask.limit <= MAX_USD * MICRO:
        raise InvalidRequest(
            f"budget_limit: must be more than 0 and at most {MAX_USD} US dollars, for example 5.0"
        )
    check_id("scope_id", ask.scope_id)
    check_thresholds(ask.thresholds)


def check_thresholds(thresholds: Iterable[float]) -> None:
    values = list(thresholds)
    if len(values) > MOST_THRESHOLDS:
        raise InvalidRequest(f"alert_thresholds: at most {MOST_THRESHOLDS}, for example [50, 80]")
    if not all(math.isfinite(value) and 0 < value <= 100 for value in values):
        raise InvalidRequest("alert_thresholds: percentages above 0, at most 100: [50, 80, 95]")
    if values != sorted(set(values)):
        raise InvalidRequest("alert_thresholds: must rise and not repeat, for example [50, 80, 95]")


def check_id(field: str, id: str) -> None:
    if len(id) > LONGEST_ID:
        raise InvalidRequest(f"{field}: at most {LONGEST_ID} characters, yours has {len(id)}")
    if not id.isprintable():
        raise InvalidRequest(f"{field}: must not hold control characters or lone surrogates")

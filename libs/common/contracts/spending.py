"""Money and limits: reserve before a call, settle by the usage event, budgets and alerts.

All amounts are whole micro-dollars; times are seconds since the epoch, UTC.
"""

from typing import Literal

from msgspec import Struct

from libs.common.contracts.base import EVENTS_STREAM, Done, Event, Operation
from libs.common.contracts.identity import Key, Limits, Principal

Scope = Literal["org", "team", "user", "key", "run"]
Window = Literal["hourly", "daily", "weekly", "monthly", "total"]
Mode = Literal["block", "downgrade", "advise"]
Bucket = Literal["messages", "count_tokens", "models"]


class Offer(Struct, frozen=True, kw_only=True):
    """One candidate, in the ledger's words: its worst case is `input_cost` +
    `max_tokens` × `output_price` / 1_000_000, rounded up, which is `estimate`."""

    deployment: str
    model: str
    estimate: int
    input_cost: int = 0
    output_price: int = 0
    max_tokens: int = 0


class Reserve(Struct, frozen=True, kw_only=True):
    """Reserve the first offer that fits every budget, or nothing. Idempotent by
    (request_id, attempt). `floor` is the least `max_tokens` worth calling with (a thinking
    budget included); `cap` the most the caller wants to pay, 0 for none."""

    request_id: str
    attempt: int
    principal: Principal
    offers: tuple[Offer, ...]
    limits: Limits = Limits()
    input_tokens: int = 0
    floor: int = 4096
    cap: int = 0
    ttl: float = 900.0
    batch: bool = False


class Tightest(Struct, frozen=True, kw_only=True):
    """The budget with least room, for the response headers."""

    scope: str
    scope_id: str
    window: str
    remaining: int
    percent: float
    resets_at: float = 0.0


class Reservation(Struct, frozen=True, kw_only=True):
    """`offer` is the index of the offer that fits; `max_tokens` is set (not 0) when it had to
    be lowered to fit. `degraded` says that the store is away and only advice is lost."""

    id: str
    offer: int
    reserved: int
    max_tokens: int = 0
    tightest: Tightest | None = None
    advised: bool = False
    degraded: bool = False
    rate_headers: dict[str, str] = {}


class Admit(Struct, frozen=True, kw_only=True):
    """Take one from a rate bucket that no money hangs on (count_tokens, model listing)."""

    principal: Principal
    bucket: Bucket
    limits: Limits = Limits()


class Budget(Struct, frozen=True, kw_only=True):
    """`owner` is "admin", or the key id of the member who set it."""

    id: str
    org: str = "default"
    scope: Scope
    scope_id: str
    window: Window
    limit: int
    thresholds: tuple[float, ...] = (50.0, 80.0, 95.0)
    mode: Mode = "block"
    clamp: bool = True
    owner: str = "admin"
    created_at: float = 0.0


class BudgetState(Struct, frozen=True, kw_only=True):
    budget: Budget
    spent: int
    reserved: int
    window_start: float
    resets_at: float
    passed: tuple[float, ...] = ()

    @property
    def remaining(self) -> int:
        return max(0, self.budget.limit - self.spent - self.reserved)

    @property
    def percent(self) -> float:
        return round(100 * self.spent / self.budget.limit, 4) if self.budget.limit else 100.0


class SetBudget(Struct, frozen=True, kw_only=True):
    """Create the budget, or replace the one with the same scope, id and window."""

    principal: Principal
    scope: Scope = "key"
    scope_id: str = ""
    window: Window
    limit: int
    thresholds: tuple[float, ...] = (50.0, 80.0, 95.0)
    mode: Mode = "block"
    clamp: bool = True


class ListBudgets(Struct, frozen=True, kw_only=True):
    """`all` (administrators) lists every budget of the org, else those that apply to the
    principal."""

    principal: Principal
    all: bool = False
    scope: str = ""
    scope_id: str = ""


class Budgets(Struct, frozen=True, kw_only=True):
    budgets: tuple[BudgetState, ...]


class DeleteBudget(Struct, frozen=True, kw_only=True):
    principal: Principal
    id: str


class SetLimits(Struct, frozen=True, kw_only=True):
    """Limits of a key, user, team or the default; all zero removes them."""

    principal: Principal
    scope: Literal["key", "user", "team", "default"]
    scope_id: str = ""
    limits: Limits


class LimitEntry(Struct, frozen=True, kw_only=True):
    scope: str
    scope_id: str
    limits: Limits
    org: str = "default"


class LimitList(Struct, frozen=True, kw_only=True):
    limits: tuple[LimitEntry, ...]


class AskAsAdmin(Struct, frozen=True, kw_only=True):
    principal: Principal


class CreateKey(Struct, frozen=True, kw_only=True):
    """`key.id` is ignored: the ledger makes the key."""

    principal: Principal
    key: Key


class CreatedKey(Struct, frozen=True, kw_only=True):
    """The only message that ever carries a key in clear; shown once."""

    key: Key
    secret: str


class KeyAction(Struct, frozen=True, kw_only=True):
    """`grace` keeps the old secret alive for so many seconds when rotating."""

    principal: Principal
    id: str
    action: Literal["rotate", "revoke"]
    grace: float = 0.0


class KeyList(Struct, frozen=True, kw_only=True):
    keys: tuple[Key, ...]


class Pause(Struct, frozen=True, kw_only=True):
    """Stop (or resume) a run, key, user or team at once."""

    principal: Principal
    scope: Literal["run", "key", "user", "team"]
    scope_id: str
    paused: bool = True
    reason: str = ""


class Paused_(Struct, frozen=True, kw_only=True):
    org: str
    scope: str
    scope_id: str
    paused: bool
    reason: str = ""
    at: float = 0.0


class PauseList(Struct, frozen=True, kw_only=True):
    pauses: tuple[Paused_, ...]


class Alert(Struct, frozen=True, kw_only=True):
    """A budget passed a threshold; once per budget, window and threshold."""

    id: str
    at: float
    budget: Budget
    threshold: float
    spent: int
    window_start: float
    refused: bool = False


class Audit(Struct, frozen=True, kw_only=True):
    """Something an auditor asks about; `detail` holds no secret and no prompt."""

    id: str
    at: float
    org: str
    actor: str
    action: str
    target: str = ""
    detail: dict[str, str] = {}


RESERVE = Operation("ledger.reserve.v1", Reserve, Reservation)
ADMIT = Operation("ledger.admit.v1", Admit, Done)
SET_BUDGET = Operation("ledger.budget.set.v1", SetBudget, BudgetState)
LIST_BUDGETS = Operation("ledger.budget.list.v1", ListBudgets, Budgets)
DELETE_BUDGET = Operation("ledger.budget.delete.v1", DeleteBudget, Done)
SET_LIMITS = Operation("ledger.limits.set.v1", SetLimits, LimitEntry)
LIST_LIMITS = Operation("ledger.limits.list.v1", AskAsAdmin, LimitList)
CREATE_KEY = Operation("ledger.key.create.v1", CreateKey, CreatedKey)
ACT_ON_KEY = Operation("ledger.key.act.v1", KeyAction, CreatedKey)
LIST_KEYS = Operation("ledger.key.list.v1", AskAsAdmin, KeyList)
PAUSE = Operation("ledger.pause.set.v1", Pause, Done)
LIST_PAUSES = Operation("ledger.pause.list.v1", AskAsAdmin, PauseList)
PAUSED = Event("paused.v1", Paused_)
ALERTED = Event("alert.v1", Alert, stream=EVENTS_STREAM)
AUDITED = Event("audit.v1", Audit, stream=EVENTS_STREAM)

"""What one attempt consumed: told once per attempt, read by ledger, analytics and router."""

from typing import Literal

from msgspec import Struct

from libs.common.contracts.base import EVENTS_STREAM, Event
from libs.common.contracts.identity import Principal

# ok: answered. error: the provider failed. cancelled: the client left. refused: we said no
# before any call. cached: answered from the response cache. reconciled: nobody told what it
# consumed, booked by the ledger's policy.
Outcome = Literal["ok", "error", "cancelled", "refused", "cached", "reconciled"]


class Tokens(Struct, frozen=True, kw_only=True, gc=False):
    """Tokens by meaning; no kind contains another, but `reasoning` is a part of `output`."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    web_searches: int = 0


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """One row of the journal. `reservation` is empty where nothing was reserved; a cost of 0
    settles it to nothing. `billed` says whether the figures are the provider's last word.

    Without cycles, so the garbage collector need not know it: thousands of rows are in hand at
    once, and walking them would take as long as decoding them."""

    request_id: str
    attempt: int
    at: float
    principal: Principal
    reservation: str = ""
    reserved: int = 0
    door: str = "messages"
    asked: str = ""
    model: str = ""
    provider: str = ""
    deployment: str = ""
    decision_id: str = ""
    reason: str = ""
    confidence: float = 0.0
    label: str = ""
    routing: str = ""
    tokens: Tokens = Tokens()
    cost: int = 0
    list_cost: int = 0
    baseline_model: str = ""
    baseline_cost: int = 0
    price_version: str = ""
    unpriced: bool = False
    simulated: bool = False
    batch: bool = False
    billed: bool = True
    cache: str = ""
    pii: dict[str, int] = {}
    stream: bool = False
    status: int = 200
    outcome: Outcome = "ok"
    error: str = ""
    stop_reason: str = ""
    seconds: float = 0.0
    first_token: float = 0.0
    router_seconds: float = 0.0
    pii_seconds: float = 0.0
    ledger_seconds: float = 0.0
    retry_after: float = 0.0
    upstream_id: str = ""

    @property
    def id(self) -> str:
        """The event's identity: redelivery of it counts once everywhere."""
        return f"{self.request_id}.{self.attempt}"


USED = Event("usage.v1", Usage, stream=EVENTS_STREAM, dense=True)

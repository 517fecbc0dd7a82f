"""One request on its way, and each attempt to have it answered: plain records."""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

from msgspec import Struct, field

from libs.common.contracts.identity import Key, Principal, Routing
from libs.common.contracts.routing import Candidate, Features, Plan
from libs.common.contracts.spending import Reservation
from services.gateway.body import Body, Fields
from services.gateway.errors import Headers
from services.gateway.http import RequestHeaders
from services.gateway.stream import Meter


class Timings(Struct, kw_only=True):
    """Seconds; `started` on the monotonic clock."""

    started: float = field(default_factory=time.monotonic)
    pii: float = 0.0
    router: float = 0.0
    ledger: float = 0.0
    first_token: float = 0.0


class Asked(Struct, frozen=True, kw_only=True):
    """A question whose answer is kept: masked, with its vector and its answer's name."""

    text: str
    vector: bytes
    answer: str


class Call(Struct, kw_only=True):
    """A request after its key and its body were read. `fields` is the body that may leave:
    masked, once masking has run; `mapping` restores it. `unscanned`: pii was away, and the
    settings let texts pass. `asked` may be found again by a similar question, `similarity` is that
    of the nearest one. `recorded`: what is said is kept, masked, for the audit. `told`: the answer,
    or the reason why there is none, is on its way."""

    id: str
    door: str
    key: Key
    principal: Principal
    headers: RequestHeaders
    body: Body
    features: Features
    routing: Routing
    at: float = field(default_factory=time.time)
    timings: Timings = field(default_factory=Timings)
    fields: Fields = field(default_factory=dict)
    mapping: dict[str, str] = field(default_factory=dict)
    pii: dict[str, int] = field(default_factory=dict)
    plan: Plan | None = None
    reservation: Reservation | None = None
    attempts: int = 0
    reserving: int = 0
    cap: int = 0
    query: str = ""
    cache: str = ""
    cache_name: str = ""
    cache_writes: bool = False
    cache_claimed: bool = False
    asked: Asked | None = None
    similarity: float = 0.0
    unscanned: bool = False
    recorded: bool = False
    stopped: str = ""
    gone: bool = False
    told: bool = False

    @property
    def stream(self) -> bool:
        return self.body.stream

    @property
    def from_cache(self) -> bool:
        return self.cache in ("hit", "semantic")

    @property
    def kept(self) -> bool:
        """The whole answer is needed when it has ended."""
        return self.cache_writes or self.recorded


class Attempt(Struct, kw_only=True):
    """One try of one candidate. `max_tokens` is set where the budget lowered it; `sent`: the
    provider may have the request, and bill it."""

    number: int
    candidate: Candidate
    reservation: Reservation | None
    max_tokens: int = 0
    started: float = field(default_factory=time.monotonic)
    meter: Meter = field(default_factory=Meter)
    upstream_id: str = ""
    adapted: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    saved: int = 0
    sent: bool = False
    booked: bool = False


class Reply(Struct, kw_only=True):
    """An answer that has begun: whole in `body`, or `held` bytes and the `rest` to come, both
    canonical (Anthropic's) and unrestored."""

    attempt: Attempt
    status: int
    headers: Headers
    body: bytes = b""
    held: bytes = b""
    rest: AsyncIterator[bytes] | None = None
    close: Callable[[], Awaitable[None]] | None = None


def new_request_id() -> str:
    """Always of our own making: it is what money is booked under. A client's `x-request-id`
    is echoed and logged beside it, never trusted with idempotency."""
    return f"req_{uuid.uuid4().hex}"


def client_request_id(headers: RequestHeaders) -> str:
    """The client's own id, if it is a plain token."""
    given = headers.get(b"x-request-id")[:100]
    return given if given.replace("-", "").replace("_", "").isalnum() else ""

"""What the scripts are told and what they answer."""

from msgspec import Struct

from libs.common.contracts.identity import Principal


class Wanted(Struct, frozen=True, kw_only=True):
    """One offer, for the script."""

    estimate: int
    max_tokens: int
    output_price: int
    input_cost: int
    model: str
    deployment: str


class Rate(Struct, frozen=True, kw_only=True):
    """A limited scope: its field among the limits, its place among the scopes, and the limits
    it has without any set (rpm, tpm, concurrency)."""

    name: str
    scope: int
    own: tuple[int, int, int]


class Asked(Struct, frozen=True, kw_only=True):
    id: str
    attempt: int
    now: float
    expires: float
    scopes: list[str]
    starts: dict[str, int]
    offers: list[Wanted]
    floor: int
    cap: int
    input_tokens: int
    pauses: list[str]
    rates: list[Rate]
    default: tuple[int, int, int]
    note: str


class Held(Struct, frozen=True, kw_only=True):
    """A budget as the script saw it; `scope` counts from 1, 0 is the caller's own cap."""

    scope: int
    window: str
    limit: int
    mode: str
    spent: int
    reserved: int
    room: int
    told: float = -1


class RateView(Struct, frozen=True, kw_only=True):
    """Limits of the tightest scope and what is left of them."""

    name: str
    rpm: int
    tpm: int
    requests: int
    tokens: int


class Answer(Struct, frozen=True, kw_only=True):
    """`status`: reserved, refused, limited, paused, closed (booked before), unbooked (the
    store has lost the tenant's book)."""

    status: str
    offer: int = 0
    reserved: int = 0
    max_tokens: int = 0
    tightest: Held | None = None
    advised: bool = False
    rate: RateView | None = None
    budget: Held | None = None
    against: list[Held] = []
    estimate: int = 0
    alternatives: list[int] = []
    name: str = ""
    reason: str = ""
    limit: str = ""
    max: int = 0
    used: int = 0
    retry_after: float = 0.0


class Bill(Struct, frozen=True, kw_only=True):
    """`lasting` is the seconds a scope's hash is kept after this (0: for ever). `guess` marks
    a cost of ours that the provider's own figures may still replace; `mark` is the one the
    tenant's book must bear."""

    id: str
    cost: int
    tokens: int
    guess: bool
    starts: dict[str, int]
    scopes: int
    lasting: list[int]
    keep: int
    mark: str


class Passed(Struct, frozen=True, kw_only=True):
    scope: int
    window: str
    spent: int
    told: float


class Booked(Struct, frozen=True, kw_only=True):
    status: str
    reserved: int = 0
    cost: int = 0
    opened: bool = False
    passed: list[Passed] = []


class Note(Struct, frozen=True, kw_only=True):
    """What is kept beside a reservation to book it if nobody else does."""

    request_id: str
    attempt: int
    principal: Principal
    batch: bool = False


class Call(Struct, frozen=True, kw_only=True):
    """A reservation as the store keeps it, or what is left of it once it is booked."""

    state: str
    offer: int = 0
    reserved: int = 0
    max_tokens: int = 0
    bucket: int = 0
    tokens: int = 0
    model: str = ""
    deployment: str = ""
    input_cost: int = 0
    note: str = ""

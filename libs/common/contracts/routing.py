"""Features to the router, a plan back. Never the body.

Money is in micro-dollars, time in seconds. `user_text` is not masked yet (pii is asked in
parallel): it stays inside the bus, and is never logged, stored or sent on.
"""

from typing import Literal

from msgspec import Struct, field

from libs.common.contracts.base import EVENTS_STREAM, Event, Nothing, Operation
from libs.common.contracts.identity import Principal, Routing

Thinking = Literal["off", "budget", "adaptive"]


class Features(Struct, frozen=True, kw_only=True):
    """What a request looks like from outside. Sizes in characters, tokens over-estimated."""

    model: str
    door: str = "messages"
    user_text: str = ""
    user_chars: int = 0
    system_chars: int = 0
    tools_chars: int = 0
    input_tokens: int = 0
    max_tokens: int = 0
    stream: bool = False
    messages: int = 0
    user_turns: int = 0
    tool_results: int = 0
    tools: int = 0
    tool_choice: str = ""
    server_tools: tuple[str, ...] = ()
    images: int = 0
    documents: int = 0
    opaque: bool = False
    thinking: Thinking = "off"
    thinking_budget: int = 0
    effort: str = ""
    structured: bool = False
    thread: bool = False
    continues_thread: bool = False
    last_is_tool_result: bool = False
    last_tool_error: bool = False
    plan_mode: bool = False
    subagent: bool = False
    background: str = ""
    has_thinking_blocks: bool = False
    signatures: tuple[str, ...] = ()
    cache_marks: int = 0
    speed: str = ""
    service_tier: str = ""
    betas: tuple[str, ...] = ()
    version: str = ""
    prefill: bool = False
    sampling: bool = False
    server_tool_uses: int = 0


class Route(Struct, frozen=True, kw_only=True):
    """`session` is scoped by the router under the principal. `models` is the key's
    allow-list (globs; empty: all). `tag` is the caller's own word for policy rules, from a
    header; `budget_percent` how much of the tightest budget is spent, where it is known."""

    request_id: str
    principal: Principal
    features: Features
    routing: Routing = "auto"
    session: str = ""
    models: tuple[str, ...] = ()
    dry_run: bool = False
    tag: str = ""
    budget_percent: float = 0.0


class Candidate(Struct, frozen=True, kw_only=True):
    """One deployment that can do the request. `estimate` is the worst case for the ledger:
    `input_cost` + max_tokens at `output_price` (micro-dollars per million tokens).
    `expected` is what it will probably cost. `max_output` is the model's own ceiling.
    `foreign` are the hashes of thinking signatures that another model made: their blocks must
    not reach this one. `catalogue` is the provider whose price list holds."""

    deployment: str
    provider: str
    model: str
    dialect: str
    estimate: int
    input_cost: int = 0
    output_price: int = 0
    max_tokens: int = 0
    max_output: int = 0
    expected: int = 0
    quality: float = 0.0
    unpriced: bool = False
    simulated: bool = False
    why: str = ""
    foreign: tuple[str, ...] = ()
    catalogue: str = ""


class Rejected(Struct, frozen=True, kw_only=True):
    model: str
    why: str


class Plan(Struct, frozen=True, kw_only=True):
    """Ordered candidates, best first. `saved` is the expected saving of the first one
    against `baseline`; `switch_cost` is what leaving a warm cache costs, if a session moved."""

    decision_id: str
    candidates: tuple[Candidate, ...]
    reason: str
    confidence: float = 1.0
    label: str = ""
    baseline: str = ""
    saved: int = 0
    switch_cost: int = 0
    moved: bool = False
    routing: Routing = "auto"
    rejected: tuple[Rejected, ...] = ()


class Deployment(Struct, frozen=True, kw_only=True):
    """A provider with a usable credential, as a gateway announces it. `models` limits it to
    those names (empty: every model of the provider in the catalogue). `catalogue` is the
    provider whose models and prices it serves."""

    id: str
    provider: str
    dialect: str
    catalogue: str = ""
    models: tuple[str, ...] = ()
    weight: int = 1
    simulated: bool = False


class Announcement(Struct, frozen=True, kw_only=True):
    """What one gateway can reach; said at its start, at every change and every few seconds."""

    gateway: str
    deployments: tuple[Deployment, ...]
    at: float = 0.0


class SignatureSeen(Struct, frozen=True, kw_only=True):
    """A thinking signature was relayed: its hash, and the model that made it."""

    signature: str
    model: str


class GetDecision(Struct, frozen=True, kw_only=True):
    decision_id: str
    principal: Principal


class Decision(Struct, frozen=True, kw_only=True):
    """One decision in full, for explanation and learning; holds no text of the user's."""

    decision_id: str
    request_id: str
    at: float
    principal: Principal
    features: Features
    plan: Plan
    extra: dict[str, str] = field(default_factory=dict)


class Feedback(Struct, frozen=True, kw_only=True):
    """What a caller says of a decision: -1 (bad) to 1 (good). Holds no text."""

    decision_id: str
    principal: Principal
    score: float
    at: float = 0.0


ROUTE = Operation("router.route.v1", Route, Plan)
GET_DECISION = Operation("router.decision.v1", GetDecision, Decision)
DEPLOYMENTS = Operation("gateway.deployments.v1", Nothing, Announcement)
ANNOUNCED = Event("deployments.v1", Announcement)
SIGNATURE_SEEN = Event("signature.v1", SignatureSeen)
DECIDED = Event("decision.v1", Decision, stream=EVENTS_STREAM, dense=True)
FEEDBACK = Event("feedback.v1", Feedback, stream=EVENTS_STREAM)

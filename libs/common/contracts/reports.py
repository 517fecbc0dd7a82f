"""Questions to analytics. Answers are ready-made JSON, since the gateway only passes them on."""

from datetime import UTC, datetime

from msgspec import Raw, Struct

from libs.common.contracts.base import Event, Operation
from libs.common.contracts.identity import Principal
from libs.common.contracts.usage import Tokens, Usage
from libs.common.money import usd


class Report(Struct, frozen=True, kw_only=True):
    """`name` is the report (costs, usage, savings, latency, requests, request, decisions,
    alerts, audit, export, delete); `query` holds the parameters as the caller wrote them.
    Analytics validates them and scopes the answer to the principal: a key sees its own, an
    administrator the whole org."""

    principal: Principal
    name: str
    query: dict[str, str] = {}


class Answer(Struct, frozen=True, kw_only=True):
    """`body` is JSON; for any other `content_type` it is one JSON string holding the text."""

    body: Raw
    content_type: str = "application/json"


class RequestRow(Struct, frozen=True, kw_only=True):
    """One attempt as people see it, in the requests report and in the live table. Money is
    decimal text in USD, `at` is RFC 3339."""

    id: str
    request_id: str
    attempt: int
    at: str
    key_id: str
    key_name: str
    user: str
    team: str
    run: str
    agent: str
    door: str
    asked: str
    model: str
    provider: str
    deployment: str
    reason: str
    confidence: float
    label: str
    tokens: Tokens
    cost: str
    baseline_model: str
    baseline_cost: str
    saved: str
    cache: str
    pii: dict[str, int]
    stream: bool
    simulated: bool
    unpriced: bool
    status: int
    outcome: str
    error: str
    seconds: float
    first_token: float


def request_row(usage: Usage) -> RequestRow:
    who = usage.principal
    return RequestRow(
        id=usage.id,
        request_id=usage.request_id,
        attempt=usage.attempt,
        at=datetime.fromtimestamp(usage.at, UTC).isoformat(timespec="milliseconds"),
        key_id=who.key_id,
        key_name=who.key_name,
        user=who.user,
        team=who.team,
        run=who.run,
        agent=who.agent,
        door=usage.door,
        asked=usage.asked,
        model=usage.model,
        provider=usage.provider,
        deployment=usage.deployment,
        reason=usage.reason,
        confidence=round(usage.confidence, 4),
        label=usage.label,
        tokens=usage.tokens,
        cost=usd(usage.cost),
        baseline_model=usage.baseline_model,
        baseline_cost=usd(usage.baseline_cost),
        saved=usd(usage.baseline_cost - usage.cost if usage.baseline_model else 0),
        cache=usage.cache,
        pii=usage.pii,
        stream=usage.stream,
        simulated=usage.simulated,
        unpriced=usage.unpriced,
        status=usage.status,
        outcome=usage.outcome,
        error=usage.error,
        seconds=round(usage.seconds, 4),
        first_token=round(usage.first_token, 4),
    )


class Written(Struct, frozen=True, kw_only=True):
    """Attempts that have just been written: what a live page shows. Of a large batch the last
    LIVE_ROWS, which is more than a page holds."""

    used: tuple[Usage, ...]


LIVE_ROWS = 500
REPORT = Operation("analytics.report.v1", Report, Answer)
LIVE = Event("live.v1", Written)

"""Which headers pass, in both directions, and ours beside them."""

import time
from email.utils import parsedate_to_datetime

from libs.common.catalogue_data import AUTO
from libs.common.contracts.identity import Routing
from libs.common.contracts.routing import Candidate
from libs.common.money import usd
from services.gateway.call import Call, Reply
from services.gateway.errors import Headers, header_text
from services.gateway.http import RequestHeaders
from services.gateway.providers.anthropic import VERSION
from services.gateway.upstream import HttpReply

# To Anthropic go the client's own (open lists: claude-wire contract); keys, hosts, cookies and
# hop-by-hop headers never.
PASSED_PREFIXES = (b"anthropic-", b"x-claude-code-", b"x-stainless-", b"x-app")
PASSED = frozenset({b"user-agent", b"accept", b"content-type", b"accept-language"})
# Seconds for which a provider may ask to be left alone.
LONGEST_WAIT = 86_400.0
DROPPED_BACK = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"te", b"trailer", b"transfer-encoding",
    b"upgrade", b"content-length", b"content-encoding", b"date", b"server", b"set-cookie",
    b"alt-svc", b"strict-transport-security", b"content-security-policy", b"x-frame-options",
    b"x-content-type-options", b"referrer-policy", b"cache-control", b"via", b"nel", b"report-to",
})  # fmt: skip


def request_headers(
    client: RequestHeaders, own: dict[str, str], betas: list[str] | None, *, native: bool
) -> Headers:
    """What a provider is sent. `betas` replaces the client's own lines if it is not None."""
    headers: Headers = [
        (b"content-type", b"application/json"),
        (b"accept-encoding", b"identity"),
    ]
    headers += [(name.lower().encode(), value.encode()) for name, value in own.items()]
    if not native:
        return [*headers, (b"user-agent", b"modelmuxer")]
    set_already = {name for name, _ in headers}
    for name, value in client.pairs:
        passes = name.startswith(PASSED_PREFIXES) or name in PASSED
        replaced = name == b"anthropic-beta" and betas is not None
        if passes and not replaced and name not in set_already:
            headers.append((name, value))
    if betas:
        headers.append((b"anthropic-beta", ",".join(betas).encode()))
    if not client.get(b"anthropic-version"):
        headers.append((b"anthropic-version", VERSION.encode()))
    return headers


def response_headers(upstream: Headers) -> Headers:
    return [
        (name, value)
        for name, value in upstream
        if name not in DROPPED_BACK and not name.startswith(b"x-modelmuxer-")
    ]


def retry_after_of(reply: HttpReply) -> float:
    """Seconds of a `retry-after` header, in either of its forms; 0 if there is none."""
    value = reply.header(b"retry-after")
    if not value:
        return 0.0
    try:
        return _bounded(float(value))
    except ValueError:
        pass
    try:
        return _bounded(parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return 0.0


def _bounded(seconds: float) -> float:
    """What is no number is none; nobody is asked to wait for ever."""
    return min(seconds, LONGEST_WAIT) if seconds > 0 else 0.0


def own_headers(call: Call, client_id: str = "") -> Headers:
    """What we say about any answer to this request, refusals included."""
    pairs: list[tuple[bytes, object]] = [
        (b"x-modelmuxer-request-id", call.id),
        (b"x-modelmuxer-requested-model", call.features.model),
        (b"x-modelmuxer-routing", call.plan.routing if call.plan else _mode(call)),
    ]
    if client_id:
        pairs.append((b"x-request-id", client_id))
    if plan := call.plan:
        pairs += [
            (b"x-modelmuxer-reason", plan.reason),
            (b"x-modelmuxer-confidence", f"{plan.confidence:.2f}"),
            (b"x-modelmuxer-decision-id", plan.decision_id),
            (b"x-modelmuxer-saved-usd-estimate", usd(plan.saved)),
        ]
        if plan.moved:
            pairs.append((b"x-modelmuxer-switch-cost-usd", usd(plan.switch_cost)))
    if call.pii:
        found = ",".join(f"{kind}={count}" for kind, count in sorted(call.pii.items()))
        pairs.append((b"x-modelmuxer-pii", found))
    if call.cache:
        pairs.append((b"x-modelmuxer-cache", call.cache))
    if call.similarity:
        pairs.append((b"x-modelmuxer-cache-similarity", f"{call.similarity:.3f}"))
    return [(name, header_text(value)) for name, value in pairs] + _budget_headers(call)


def _mode(call: Call) -> Routing:
    """The mode of a request that was not routed: refused before, or answered from the cache."""
    return "auto" if call.features.model in AUTO else call.routing


def answer_headers(call: Call, reply: Reply) -> Headers:
    """What we say about an answer that a candidate gave."""
    attempt = reply.attempt
    candidate = attempt.candidate
    pairs: list[tuple[bytes, object]] = [
        (b"x-modelmuxer-model", candidate.model),
        (b"x-modelmuxer-provider", candidate.provider),
        (b"x-modelmuxer-attempts", attempt.number),
        (b"x-modelmuxer-cost-estimate-usd", usd(_estimate(candidate, call))),
    ]
    if attempt.adapted:
        pairs.append((b"x-modelmuxer-adapted", "; ".join(attempt.adapted)))
    if attempt.max_tokens:
        pairs.append((b"x-modelmuxer-max-tokens-clamped", attempt.max_tokens))
    if candidate.simulated:
        pairs.append((b"x-modelmuxer-simulated", "true"))
    if candidate.unpriced:
        pairs.append((b"x-modelmuxer-unpriced", "true"))
    return [(name, header_text(value)) for name, value in pairs]


def _estimate(candidate: Candidate, call: Call) -> int:
    return candidate.expected or candidate.estimate


def _budget_headers(call: Call) -> Headers:
    held = call.reservation
    if held is None:
        return []
    pairs: Headers = [(k.encode(), header_text(v)) for k, v in held.rate_headers.items()]
    if tight := held.tightest:
        scope = f"{tight.scope}:{tight.scope_id}:{tight.window}"
        pairs += [
            (b"x-modelmuxer-budget-remaining-usd", usd(tight.remaining).encode()),
            (b"x-modelmuxer-budget-scope", header_text(scope)),
            (b"x-modelmuxer-budget-percent", f"{tight.percent:.2f}".encode()),
        ]
    return pairs

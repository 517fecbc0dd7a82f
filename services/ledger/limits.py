"""Limits: who is limited by what, and how it is said in headers."""

from collections.abc import Sequence
from datetime import UTC, datetime

from libs.common.contracts.identity import Limits, Principal
from libs.common.settings.ledger import DefaultLimits, LedgerSettings
from services.ledger.forms import Rate, RateView

RATED = ("key", "user", "team")
MINUTE = 60


def rates_of(
    principal: Principal,
    scopes: Sequence[tuple[str, str]],
    own: Limits,
    settings: LedgerSettings,
) -> list[Rate]:
    """The limited scopes of a request, its key first. What an administrator has set wins over
    what is given here, which wins over the default."""
    places = {scope: place for place, (scope, _) in enumerate(scopes, 1)}
    ids = dict(scopes)
    found = []
    for scope in RATED:
        if scope in ids:
            given = own if scope == "key" else _configured(settings, scope, ids[scope])
            found.append(
                Rate(
                    name=f"{scope}:{ids[scope]}",
                    scope=places[scope],
                    own=(given.rpm, given.tpm, given.concurrency),
                )
            )
    return found


def _configured(settings: LedgerSettings, scope: str, id: str) -> DefaultLimits:
    table = settings.users if scope == "user" else settings.teams
    return table.get(id) or DefaultLimits()


def shown_headers(view: RateView | None, now: float) -> dict[str, str]:
    """What is left, for an answer that went through."""
    return _headers("x-modelmuxer-ratelimit", view, now + MINUTE) if view else {}


def refused_headers(view: RateView, now: float, retry_after: float) -> dict[str, str]:
    """What a 429 of ours carries, under the names that Anthropic's clients read."""
    headers = _headers("anthropic-ratelimit", view, now + retry_after)
    return headers | {"retry-after": str(max(1, -int(-retry_after // 1)))}


def _headers(prefix: str, view: RateView, reset: float) -> dict[str, str]:
    at = rfc3339(reset)
    headers = {}
    for kind, limit, left in (
        ("requests", view.rpm, view.requests),
        ("tokens", view.tpm, view.tokens),
    ):
        if limit:
            headers[f"{prefix}-{kind}-limit"] = str(limit)
            headers[f"{prefix}-{kind}-remaining"] = str(max(0, left))
            headers[f"{prefix}-{kind}-reset"] = at
    return headers


def rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

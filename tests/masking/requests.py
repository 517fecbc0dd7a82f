"""Requests as the gateway holds them, and a whole masking run with the real rules."""

import json
from typing import Any

import msgspec

from libs.common.contracts.pii import Finding, Findings
from libs.common.settings.pii import PiiSettings
from services.gateway.masking import Masked, Placeholders, Policy, SpanCache, apply, collect
from services.gateway.masking.blocks import Fields

SECRET = b"0123456789abcdef0123456789abcdef"
# Made-up values, each of a form that needs no context, and how they are typed here.
VALUES = {
    "anna.berg@northwind.io": "EMAIL",
    "tomas@fabrikam.de": "EMAIL",
    "Tr0ub4dor!x9": "SECRET",
    'quo"te\\back\nline': "SECRET",
    "4539 1488 0343 6467": "CREDIT_CARD",
}


def fields_of(request: Any) -> Fields:
    return msgspec.json.decode(json.dumps(request).encode(), type=Fields)


def request_of(*contents: Any, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": c} for i, c in enumerate(contents)]
    return {"model": "claude-sonnet-5", "max_tokens": 9, **more, "messages": messages}


def spans_of(text: str) -> tuple[Finding, ...]:
    """Where the made-up values stand in a text: a scan without rules."""
    found = [
        Finding(at, at + len(value), kind)
        for value, kind in VALUES.items()
        for at in range(len(text))
        if text.startswith(value, at)
    ]
    return tuple(sorted(found, key=lambda finding: finding.start))


def mask(request: Any, org: str = "default", settings: PiiSettings | None = None) -> Masked:
    fields = fields_of(request)
    blocks = collect(fields)
    cache = SpanCache()
    known, unseen = cache.lookup(blocks)
    known |= cache.store(unseen, Findings(texts=tuple(spans_of(b.text) for b in unseen), rules="1"))
    policy = Policy.of(settings or PiiSettings())
    return apply(fields, blocks, known, policy, Placeholders(SECRET, org))


def masked(request: Any) -> Any:
    return json.loads(msgspec.json.encode(mask(request).fields))


def placeholder(value: str, org: str = "default") -> str:
    return Placeholders(SECRET, org).of(VALUES[value], value)

"""One line per request for people, and its metrics: asked → served, why, cost, saved."""

import logging

from libs.common.contracts.usage import Usage
from libs.common.money import usd_short
from libs.common.telemetry import (
    COST,
    FIRST_CHUNK_SECONDS,
    HOP_SECONDS,
    OPERATION_SECONDS,
    PII_FINDINGS,
    TOKENS,
)
from services.gateway.call import Call

log = logging.getLogger("modelmuxer.request")


def report(call: Call, row: Usage) -> None:
    """Log the attempt and count it. Never prompt text, never a secret."""
    if log.isEnabledFor(logging.INFO):
        log.info("%s", line(row), extra={"fields": fields(row)})
    _measure(row)


def line(row: Usage) -> str:
    """`opus → haiku · simple question (0.93) · $0.0003 · saved $0.01 · 0.8 s`"""
    parts = [f"{row.asked} → {row.model or 'nobody'}"]
    if row.reason:
        told = "confidence" in row.reason or not row.confidence
        parts.append(row.reason if told else f"{row.reason} ({row.confidence:.2f})")
    parts.append(usd_short(row.cost))
    if row.baseline_cost:
        parts.append(f"saved {usd_short(row.baseline_cost - row.cost)}")
    if row.pii:
        parts.append("masked " + ",".join(f"{k}={v}" for k, v in sorted(row.pii.items())))
    if row.outcome != "ok":
        parts.append(f"{row.outcome} {row.status} {row.error}".strip())
    parts.append(f"{row.seconds:.2f} s")
    return " · ".join(parts) + (" [simulated]" if row.simulated else "")


def fields(row: Usage) -> dict[str, object]:
    return {
        "request_id": row.request_id,
        "attempt": row.attempt,
        "key_id": row.principal.key_id,
        "run": row.principal.run,
        "asked": row.asked,
        "model": row.model,
        "provider": row.provider,
        "reason": row.reason,
        "input_tokens": row.tokens.input,
        "output_tokens": row.tokens.output,
        "cost_micro_usd": row.cost,
        "seconds": round(row.seconds, 4),
        "status": row.status,
        "outcome": row.outcome,
        "error": row.error,
    }


def _measure(row: Usage) -> None:
    provider, model = row.provider or "none", row.model or "none"
    OPERATION_SECONDS.labels(provider, model, row.error or "none").observe(row.seconds)
    if row.first_token:
        FIRST_CHUNK_SECONDS.labels(provider, model).observe(row.first_token)
    for service in ("router", "pii", "ledger"):
        if seconds := getattr(row, f"{service}_seconds"):
            HOP_SECONDS.labels(service).observe(seconds)
    tokens = row.tokens
    cached = tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
    TOKENS.labels(provider, model, "input").inc(tokens.input + cached)
    TOKENS.labels(provider, model, "output").inc(tokens.output)
    COST.labels(provider).inc(row.cost)
    for kind, count in row.pii.items():
        PII_FINDINGS.labels(kind).inc(count)

"""One line per request for people, and its metrics: asked → served, why, cost, saved."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.contracts.usage import Usage
from libs.common.errors import MuxError, UpstreamFailed
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
refused = logging.getLogger("modelmuxer.refused")
# Lines a second about requests that were refused at the door: anybody may cause those.
MOST = 5
LONGEST = 200


def report(call: Call, row: Usage) -> None:
    """Log the attempt and count it. Never prompt text, never a secret."""
    if log.isEnabledFor(logging.INFO):
        log.info("%s", printable(line(row)), extra={"fields": fields(row)})
    _measure(row)


def line(row: Usage) -> str:
    """`opus → haiku · simple question (0.93) · $0.0003 · saved $0.01 · 812 ms`"""
    parts = [f"{row.asked} → {row.model or 'nobody'}"]
    if row.reason:
        told = "confidence" in row.reason or not row.confidence
        parts.append(row.reason if told else f"{row.reason} ({row.confidence:.2f})")
    parts.append(usd_short(row.cost))
    if row.baseline_cost and row.baseline_cost != row.cost:
        parts.append(f"saved {usd_short(row.baseline_cost - row.cost)}")
    if row.pii:
        parts.append("masked " + ",".join(f"{k}={v}" for k, v in sorted(row.pii.items())))
    if row.outcome != "ok":
        parts.append(f"{row.outcome} {row.status} {row.error}".strip())
    parts.append(took(row.seconds))
    return " · ".join(parts) + (" [simulated]" if row.simulated else "")


def took(seconds: float) -> str:
    """`12 ms`, and from a second upwards `1.20 s`."""
    return f"{seconds:.2f} s" if seconds >= 0.9995 else f"{max(1, round(seconds * 1000))} ms"


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


def report_refusal(status: int, error: MuxError, request_id: str) -> None:
    """The line of a request that was refused before it had a row: `refused 401 · this key is
    not known here: …`."""
    if refused.isEnabledFor(logging.INFO):
        # A provider's own words may repeat what it was sent.
        detail = "" if isinstance(error, UpstreamFailed) else error.detail
        said = " ".join(detail.split())[:LONGEST] or error.code
        told = {"request_id": request_id, "status": status, "error": error.code}
        refused.info("refused %d · %s", status, printable(said), extra={"fields": told})


def printable(text: str) -> str:
    """One line: what a client sends writes no lines of its own into our log."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


@contextmanager
def sparing() -> Iterator[None]:
    """While this is open a flood of refusals cannot flood the log."""
    few = Few()
    refused.addFilter(few)
    try:
        yield
    finally:
        refused.removeFilter(few)


class Few(logging.Filter):
    """So many lines pass in a second; of the others it tells how many there were."""

    def __init__(self, most: int = MOST) -> None:
        super().__init__()
        self._most, self._passed, self._left, self._until = most, 0, 0, 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = time.monotonic()
        if now >= self._until and not self._left:
            self._passed, self._until = 0, now + 1.0
        if self._passed < self._most:
            self._passed += 1
            return True
        if not self._left:
            asyncio.get_running_loop().call_later(max(0.0, self._until - now), self._tell)
        self._left += 1
        return False

    def _tell(self) -> None:
        left, self._left = self._left, 0
        log.info("refused %d more within a second", left)

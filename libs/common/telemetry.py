"""Logs and metrics that all services share. Labels are of bounded sets only: never a key, a
request or free text. Logs never hold prompt text or secrets."""

import json
import logging
import sys
import time
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from libs.common.settings import Settings

SECONDS = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
)  # fmt: skip
HOPS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

# name, kind, labels, meaning. docs/metrics.md is checked against this table.
OPERATION_SECONDS = Histogram(
    "gen_ai_client_operation_duration_seconds",
    "Seconds from a request's arrival to the end of its answer",
    ("gen_ai_provider_name", "gen_ai_response_model", "error_type"),
    buckets=SECONDS,
)
FIRST_CHUNK_SECONDS = Histogram(
    "gen_ai_client_operation_time_to_first_chunk_seconds",
    "Seconds from a request's arrival to the first content",
    ("gen_ai_provider_name", "gen_ai_response_model"),
    buckets=SECONDS,
)
TOKENS = Counter(
    "gen_ai_client_token_usage_total",
    "Tokens consumed; input includes cached tokens",
    ("gen_ai_provider_name", "gen_ai_response_model", "gen_ai_token_type"),
)
REQUESTS = Counter("modelmuxer_requests_total", "Answers by HTTP status", ("door", "status"))
COST = Counter("modelmuxer_cost_micro_usd_total", "Booked cost in micro-dollars", ("provider",))
HOP_SECONDS = Histogram(
    "modelmuxer_hop_seconds", "Seconds waited for another service", ("service",), buckets=HOPS
)
IN_FLIGHT = Gauge("modelmuxer_in_flight", "Requests or messages in hand")
OUTBOX_WAITING = Gauge("modelmuxer_outbox_waiting", "Events not yet acknowledged by the journal")
OUTBOX_SPOOLED = Gauge("modelmuxer_outbox_spooled_bytes", "Bytes of events spooled to disk")
PII_OPEN = Counter("modelmuxer_pii_open_total", "Texts sent unscanned while pii was away")
PII_FINDINGS = Counter("modelmuxer_pii_findings_total", "Masked values by type", ("type",))
PII_OUTPUT = Counter(
    "modelmuxer_pii_output_total",
    "Values that a model produced, by type, and whether they were masked or ended the answer",
    ("type", "action"),
)
PII_UNKNOWN = Counter(
    "modelmuxer_pii_unknown_total", "Placeholders in answers that no value of the request has"
)
ROUTER_SECONDS = Histogram("modelmuxer_router_seconds", "Seconds per decision", buckets=HOPS)
ROUTER_DECISIONS = Counter(
    "modelmuxer_router_decisions_total",
    "Decisions by kind of work and tier of the first candidate",
    ("label", "tier"),
)
ROUTER_MOVES = Counter("modelmuxer_router_moves_total", "Sessions moved to another model")
ROUTER_RELOADS = Counter(
    "modelmuxer_router_reloads_total", "Edits of the routing rules by result", ("result",)
)
ROUTER_SHUT = Gauge("modelmuxer_router_shut", "Deployment models whose circuit is open")
LEDGER_RESERVATIONS = Counter(
    "modelmuxer_ledger_reservations_total",
    "Answers to a reservation: reserved, downgraded, clamped, or the code of the refusal",
    ("result",),
)
LEDGER_DEGRADED = Counter(
    "modelmuxer_ledger_degraded_total",
    "Reservations decided without the budget store: open or closed",
    ("decision",),
)
LEDGER_SETTLED = Counter(
    "modelmuxer_ledger_settled_total", "Rows booked, by outcome of the attempt", ("outcome",)
)
LEDGER_OVERRUN = Counter(
    "modelmuxer_ledger_overrun_micro_usd_total", "Cost booked beyond what was reserved for it"
)
LEDGER_RECONCILED = Counter(
    "modelmuxer_ledger_reconciled_total", "Reservations that nobody settled, booked by policy"
)
LEDGER_UNPRICED = Counter("modelmuxer_ledger_unpriced_total", "Booked rows without a known price")
LEDGER_ALERTS = Counter(
    "modelmuxer_ledger_alerts_total", "Budget thresholds passed, by percent", ("threshold",)
)
LEDGER_WEBHOOKS = Counter(
    "modelmuxer_ledger_webhooks_total", "Alert webhooks by result", ("result",)
)

ANALYTICS_LAG = Gauge(
    "modelmuxer_analytics_lag_events", "Events of the journal that are not in ClickHouse yet"
)
ANALYTICS_EVENTS = Counter(
    "modelmuxer_analytics_events_total", "Events written to ClickHouse, by kind", ("kind",)
)
JOURNAL_DEAD = Counter(
    "modelmuxer_journal_dead_total",
    "Events put aside because a consumer can never take them",
    ("consumer",),
)
ANALYTICS_SECONDS = Histogram(
    "modelmuxer_analytics_batch_seconds", "Seconds to write one batch, rollups included"
)


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "service": SERVICE[0],
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


SERVICE = [""]
QUIET = ("httpx", "httpcore", "asyncio", "nats", "aiohttp", "urllib3", "presidio-analyzer")


def set_up_logging(service: str, settings: Settings) -> None:
    """Text for people, or one JSON object a line (`log_format = "json"`), to standard error."""
    SERVICE[0] = service
    # No line of ours tells its thread, process or task.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname).1s %(message)s", "%H:%M:%S")
    handler.setFormatter(_Json() if settings.log_format == "json" else plain)
    level = logging.DEBUG if settings.debug else logging.INFO
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.INFO if settings.debug else logging.WARNING)

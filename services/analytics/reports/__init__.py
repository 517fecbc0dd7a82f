"""Reports by name. Each takes what was asked and gives an object, ready to encode."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from libs.common.contracts.reports import Answer, Report
from libs.common.errors import InvalidRequest
from services.analytics.audit import Head
from services.analytics.reports.asked import Asked
from services.analytics.reports.costs import costs, savings, usage
from services.analytics.reports.events import alerts, audit, decisions, verified, wants_verdict
from services.analytics.reports.latency import latency
from services.analytics.reports.person import delete, export
from services.analytics.reports.render import render
from services.analytics.reports.requests import FILTERS, request, requests
from services.analytics.reports.trials import trials
from services.analytics.store import Store

Build = Callable[[Store, Asked], Awaitable[dict[str, Any]]]
ReadHead = Callable[[], Awaitable[Head]]
SPAN = ("days", "tz", "format")
GROUPED = (*SPAN, "group_by")
PAGED = (*SPAN, "limit", "cursor")
PERSON = ("user", "key")


class Kind(Struct, frozen=True):
    """How a report is built, and the parameters it understands; `summed` if it reads or changes
    sums by the hour and day, which follow the rows a little later."""

    build: Build
    known: tuple[str, ...]
    summed: bool = False


REPORTS = {
    "costs": Kind(costs, GROUPED, summed=True),
    "usage": Kind(usage, GROUPED, summed=True),
    "savings": Kind(savings, GROUPED, summed=True),
    "latency": Kind(latency, GROUPED),
    "requests": Kind(requests, (*PAGED, *FILTERS, "status")),
    "request": Kind(request, ("id",)),
    "decisions": Kind(decisions, (*PAGED, "request_id", "model", "reason")),
    "trials": Kind(trials, SPAN),
    "alerts": Kind(alerts, (*PAGED, "scope", "scope_id")),
    "audit": Kind(audit, (*PAGED, "action", "actor", "target", "verify")),
    "export": Kind(export, (*PERSON, "table", "limit", "cursor", "format")),
    "delete": Kind(delete, PERSON, summed=True),
}


def is_summed(name: str) -> bool:
    return name in REPORTS and REPORTS[name].summed


async def answer(store: Store, head: ReadHead, report: Report) -> Answer:
    """Raises InvalidRequest naming the parameter and the fix, Forbidden or NotFound."""
    kind = REPORTS.get(report.name)
    if kind is None:
        raise InvalidRequest(f"report: must be one of {', '.join(REPORTS)}")
    asked = Asked.of(report, kind.known)
    if report.name == "audit" and wants_verdict(asked):
        asked.only_administrators("audit")
        return render(await verified(store, await head()), asked.format)
    return render(await kind.build(store, asked), asked.format)

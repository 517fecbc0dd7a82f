"""Reports by name. Each takes what was asked and gives rows or an object, ready to encode."""

from collections.abc import Awaitable, Callable
from typing import Any

from libs.common.contracts.reports import Answer, Report
from libs.common.errors import InvalidRequest
from services.analytics.reports.asked import Asked
from services.analytics.reports.costs import costs
from services.analytics.reports.render import render
from services.analytics.store import Store

Build = Callable[[Store, Asked], Awaitable[dict[str, Any]]]
REPORTS: dict[str, Build] = {"costs": costs}


async def answer(store: Store, report: Report) -> Answer:
    """Raises InvalidRequest naming the parameter and the fix."""
    build = REPORTS.get(report.name)
    if build is None:
        raise InvalidRequest(f"report: no `{report.name}`; there are {', '.join(REPORTS)}")
    asked = Asked.of(report)
    return render(await build(store, asked), asked.format)

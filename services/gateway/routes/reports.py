"""Reports (analytics' numbers), and one person's records. Analytics checks the parameters."""

from collections.abc import Awaitable, Callable

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.contracts.reports import REPORT, Report
from libs.common.errors import NotFound
from services.gateway.routes.callers import administrator, kit_of, principal
from services.gateway.routes.declared import FAULTS, TABULAR, query

router = APIRouter()
SPAN = ("days", "tz", "format")
GROUPED, PAGED = (*SPAN, "group_by"), (*SPAN, "limit", "cursor")
FILTERS = (
    "model", "asked", "provider", "key", "user", "team", "run", "agent", "outcome", "reason",
    "label", "error", "status", "request_id",
)  # fmt: skip
PERSON = ("user", "key")
# Each report that has a route of its own name, and its parameters.
REPORTS = {
    "costs": GROUPED,
    "usage": GROUPED,
    "savings": GROUPED,
    "latency": GROUPED,
    "requests": (*PAGED, *FILTERS),
    "decisions": (*PAGED, "request_id", "model", "reason"),
    "trials": SPAN,
    "alerts": (*PAGED, "scope", "scope_id"),
    "audit": (*PAGED, "action", "actor", "target", "verify"),
}


def _named(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def report(request: Request) -> Response:
        return await _report(request, name)

    return report


for _name, _parameters in REPORTS.items():
    router.add_api_route(
        f"/v1/analytics/{_name}",
        _named(_name),
        name=_name,
        responses=TABULAR,
        openapi_extra=query(*_parameters),
    )


@router.get("/v1/analytics/requests/{id}", responses=FAULTS)
async def request_trail(request: Request, id: str) -> Response:
    """Everything that is known of one request."""
    return await _report(request, "request", id=id)


@router.get(
    "/v1/analytics/records",
    responses=TABULAR,
    openapi_extra=query(*PERSON, "table", "limit", "cursor", "format"),
)
async def export_records(request: Request) -> Response:
    """What is stored about one person: an administrator's, and audited."""
    await administrator(request)
    return await _report(request, "export")


@router.delete("/v1/analytics/records", responses=FAULTS, openapi_extra=query(*PERSON))
async def delete_records(request: Request) -> Response:
    """Delete one person's rows and sums: an administrator's, and audited."""
    await administrator(request)
    return await _report(request, "delete")


@router.get("/v1/analytics/{name}", include_in_schema=False)
async def unknown(request: Request, name: str) -> Response:
    await principal(request)
    known = ", ".join((*REPORTS, "records"))
    raise NotFound(f"no report {name[:60]!r}; there are {known} and budgets")


async def _report(request: Request, name: str, **more: str) -> Response:
    kit, who = kit_of(request), await principal(request)
    given = {key: value[:2000] for key, value in (dict(request.query_params) | more).items()}
    ask = Report(principal=who, name=name, query=given)
    answer = await kit.bus.ask_long(REPORT, ask, kit.settings.gateway.timeouts.report)
    if answer.content_type != "application/json":
        plain = msgspec.json.decode(answer.body, type=str)
        return Response(plain, media_type=answer.content_type)
    return Response(bytes(answer.body), media_type="application/json")

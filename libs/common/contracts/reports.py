"""Questions to analytics. Answers are ready-made JSON, since the gateway only passes them on."""

from msgspec import Raw, Struct

from libs.common.contracts.base import Operation
from libs.common.contracts.identity import Principal


class Report(Struct, frozen=True, kw_only=True):
    """`name` is the report (costs, usage, savings, latency, requests, request); `query` holds
    the parameters as the caller wrote them. Analytics validates them and scopes the answer to
    the principal: a key sees its own, an administrator the whole org."""

    principal: Principal
    name: str
    query: dict[str, str] = {}


class Answer(Struct, frozen=True, kw_only=True):
    """`body` is JSON; for any other `content_type` it is one JSON string holding the text."""

    body: Raw
    content_type: str = "application/json"


REPORT = Operation("analytics.report.v1", Report, Answer)

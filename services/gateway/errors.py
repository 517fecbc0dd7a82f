"""MuxError to HTTP, in Anthropic's shape: the only such table.

Shape and types: docs.anthropic.com/en/api/errors. `x-should-retry: false` stops SDKs and
Claude Code at once; `retry-after` is seconds. RFC 9457 fields stand under `error.details`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from libs.common.errors import LimitExceeded, MuxError, UpstreamFailed

DOCS = "docs/errors.md"
RETRY_SOON = 2

# code: (HTTP status, Anthropic error type, may the client try the same again)
TABLE: dict[str, tuple[int, str, bool]] = {
    "invalid_request": (400, "invalid_request_error", False),
    "pii_blocked": (400, "invalid_request_error", False),
    "unauthenticated": (401, "authentication_error", False),
    "budget_exceeded": (402, "billing_error", False),
    "forbidden": (403, "permission_error", False),
    "paused": (403, "permission_error", False),
    "not_found": (404, "not_found_error", False),
    "conflict": (409, "invalid_request_error", False),
    "too_large": (413, "request_too_large", False),
    "limit_exceeded": (429, "rate_limit_error", True),
    "internal": (500, "api_error", True),
    "upstream_failed": (502, "api_error", True),
    "unavailable": (503, "api_error", True),
}

# Types for statuses that no MuxError stands for (wrong method, slow body, …).
TYPE_OF_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}

Headers = list[tuple[bytes, bytes]]
# What an error carries for us, not for the client.
INTERNAL = frozenset({"headers", "status", "type", "retry", "final", "again", "after", "said"})


def header_text(value: object) -> bytes:
    """A header value out of any text: printable Latin-1, no line breaks, bounded."""
    text = " ".join(str(value).split())
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return text.encode("latin-1", "replace")[:512]


class HttpFault(MuxError):
    """A fault that only HTTP knows: wrong method, unsupported encoding, a body too slow."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, {"headers": dict(headers)} if headers else None)
        self.status = status


class Fault(MuxError):
    """A failure of our own: the log has it, the client has the id to ask about it by."""

    def __init__(self) -> None:
        super().__init__(
            "the gateway itself failed at this request; try again, and if it stays, look for the "
            "request id in its log"
        )


class Relayed(UpstreamFailed):
    """A provider's own refusal; `native` if it is in Anthropic's shape already and is passed on
    as it came."""

    def __init__(self, status: int, headers: Headers, body: bytes, kind: str, detail: str) -> None:
        super().__init__(detail, {"status": status})
        self.status, self.headers, self.body, self.kind = status, headers, body, kind
        self.native = False


def type_of(status: int) -> str:
    return TYPE_OF_STATUS.get(status, "invalid_request_error" if status < 500 else "api_error")


def status_of(error: MuxError) -> tuple[int, str, bool]:
    """(HTTP status, Anthropic type, retryable)."""
    if isinstance(error, HttpFault):
        return error.status, type_of(error.status), error.status >= 500
    status, kind, retry = TABLE.get(error.code, TABLE["internal"])
    if isinstance(error, UpstreamFailed) and error.data.get("status"):
        status = int(error.data["status"])
        return (
            status,
            str(error.data.get("type") or type_of(status)),
            bool(error.data.get("retry", True)),
        )
    return status, kind, retry


def body_of(error: MuxError, request_id: str) -> dict[str, Any]:
    """The error body in Anthropic's shape."""
    status, kind, _ = status_of(error)
    inner: dict[str, Any] = {"type": kind, "message": error.detail or error.code}
    details = {name: value for name, value in error.data.items() if name not in INTERNAL}
    if details or status in (402, 429):
        details |= {"title": error.code.replace("_", " "), "status": status, "code": error.code}
        inner["details"] = details
    return {"type": "error", "error": inner, "request_id": request_id}


def headers_of(error: MuxError) -> Headers:
    """Retry advice, where to read on, and the ledger's own rate-limit headers."""
    status, _, retry = status_of(error)
    anchor = str(status) if isinstance(error, HttpFault) else error.code
    headers: Headers = [(b"x-modelmuxer-docs", f"{DOCS}#{anchor}".encode())]
    extra = error.data.get("headers")
    extra = extra if isinstance(extra, dict) else {}
    if not retry:
        headers.append((b"x-should-retry", b"false"))
    elif (isinstance(error, LimitExceeded) or status == 503) and "retry-after" not in extra:
        after = max(1, round(float(error.data.get("retry_after", RETRY_SOON))))
        headers.append((b"retry-after", str(after).encode()))
    headers += [(name.encode(), header_text(value)) for name, value in extra.items()]
    return headers


def event_of(error: MuxError, request_id: str) -> bytes:
    """The error as the last event of a stream."""
    return b"event: error\ndata: " + msgspec.json.encode(body_of(error, request_id)) + b"\n\n"

"""The errors that cross a service boundary. The gateway alone turns them into HTTP.

* MuxError             a fault of ours
  - InvalidRequest     the caller's fault; the text names field and fix
    - PiiBlocked       a finding that the policy blocks
  - Unauthenticated    no key, or a wrong one
  - Forbidden          the key may not do this
  - NotFound           no such model, budget, key, path
  - Conflict           it exists already
  - TooLarge           the body is over the limit
  - LimitExceeded      too many requests, tokens or parallel requests
  - BudgetExceeded     no money left in a budget
  - Paused             the key, run, user or team was stopped by an administrator
  - Unavailable        a service or store did not answer in time
  - UpstreamFailed     a provider failed; carries what it said
"""

from collections.abc import Mapping
from typing import Any


class MuxError(Exception):
    """`detail` is a sentence for the caller; `data` is plain JSON for machines."""

    code = "internal"

    def __init__(self, detail: str = "", data: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.data: dict[str, Any] = dict(data or {})


class InvalidRequest(MuxError):
    code = "invalid_request"


class PiiBlocked(InvalidRequest):
    code = "pii_blocked"


class Unauthenticated(MuxError):
    code = "unauthenticated"


class Forbidden(MuxError):
    code = "forbidden"


class NotFound(MuxError):
    code = "not_found"


class Conflict(MuxError):
    code = "conflict"


class TooLarge(MuxError):
    code = "too_large"


class LimitExceeded(MuxError):
    """`data`: limit, scope, scope_id, retry_after (seconds), reset (RFC 3339)."""

    code = "limit_exceeded"


class BudgetExceeded(MuxError):
    """`data`: scope, scope_id, window, limit, spent, reserved, estimate (USD text), resets_at."""

    code = "budget_exceeded"


class Paused(MuxError):
    code = "paused"


class Unavailable(MuxError):
    code = "unavailable"


class UpstreamFailed(MuxError):
    code = "upstream_failed"


def _tree(root: type[MuxError]) -> dict[str, type[MuxError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_CODE = _tree(MuxError)

"""Events as flat rows, one JSON object each: a column has the name of the contract's field."""

import math
from typing import Any

import msgspec

from libs.common.contracts.routing import Decision
from libs.common.contracts.spending import Alert
from libs.common.contracts.usage import Usage

Row = dict[str, Any]
LARGEST = 2**62  # ClickHouse wraps an integer that does not fit its column instead of refusing it
YEAR_2100 = 4_102_444_800
as_dict = msgspec.structs.asdict


def usage_row(usage: Usage) -> Row:
    row = as_dict(usage) | as_dict(usage.principal) | as_dict(usage.tokens)
    del row["principal"], row["tokens"]
    row["id"] = usage.id
    return _checked(row)


def decision_row(decision: Decision) -> Row:
    """`features` loses the user's words here, whoever forgot to."""
    plan, who = decision.plan, decision.principal
    first = plan.candidates[0] if plan.candidates else None
    features = msgspec.structs.replace(decision.features, user_text="")
    return _checked(
        {
            "decision_id": decision.decision_id,
            "request_id": decision.request_id,
            "at": decision.at,
            "org": who.org,
            "team": who.team,
            "user": who.user,
            "key_id": who.key_id,
            "run": who.run,
            "asked": features.model,
            "model": first.model if first else "",
            "provider": first.provider if first else "",
            "reason": plan.reason,
            "confidence": plan.confidence,
            "label": plan.label,
            "routing": plan.routing,
            "baseline": plan.baseline,
            "saved": plan.saved,
            "switch_cost": plan.switch_cost,
            "moved": plan.moved,
            "candidates": _json(plan.candidates),
            "rejected": _json(plan.rejected),
            "features": _json(features),
            "extra": decision.extra,
        }
    )


def alert_row(alert: Alert) -> Row:
    budget = alert.budget
    return _checked(
        {
            "id": alert.id,
            "at": alert.at,
            "org": budget.org,
            "budget_id": budget.id,
            "scope": budget.scope,
            "scope_id": budget.scope_id,
            "window": budget.window,
            "mode": budget.mode,
            "limit": budget.limit,
            "threshold": alert.threshold,
            "spent": alert.spent,
            "window_start": alert.window_start,
            "refused": alert.refused,
        }
    )


def _checked(row: Row) -> Row:
    """Raise ValueError for a number that its column would silently change."""
    if not 0 <= row["at"] < YEAR_2100:
        raise ValueError(f"at: {row['at']} is no time between 1970 and 2100")
    for name, value in row.items():
        if isinstance(value, int) and not -LARGEST < value < LARGEST:
            raise ValueError(f"{name}: {value} is too large")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {value} is no number")
    return row


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()

"""Refusals in words and in data: which budget or limit, by how much, until when."""

import math
from typing import Any

from libs.common.contracts.spending import Reserve
from libs.common.errors import BudgetExceeded, LimitExceeded
from libs.common.money import usd, usd_short
from services.ledger import names
from services.ledger.forms import Answer, Asked, Held, RateView
from services.ledger.limits import refused_headers, rfc3339
from services.ledger.windows import WINDOWS, window_end

WORDS = {"rpm": "requests per minute", "tpm": "tokens per minute", "concurrency": "calls at once"}


def over_budget(ask: Reserve, asked: Asked, answer: Answer) -> BudgetExceeded:
    held = answer.budget
    assert held is not None
    data = _budget(ask, asked, held)
    data["estimate"] = usd(answer.estimate)
    data["alternatives"] = [
        {
            "model": ask.offers[i].model,
            "deployment": ask.offers[i].deployment,
            "estimate": usd(ask.offers[i].estimate),
        }
        for i in answer.alternatives
    ]
    return BudgetExceeded(_sentence(held, data, answer.estimate), data)


def _budget(ask: Reserve, asked: Asked, held: Held) -> dict[str, Any]:
    data: dict[str, Any] = {
        "scope": "request",
        "scope_id": ask.request_id,
        "window": "",
        "limit": usd(held.limit),
        "spent": usd(held.spent),
        "reserved": usd(held.reserved),
        "resets_at": "",
    }
    if held.scope:
        scope, scope_id = names.scopes(ask.principal)[held.scope - 1]
        window = WINDOWS[held.window]
        end = window_end(window, asked.now)
        data |= {"scope": scope, "scope_id": scope_id, "window": window}
        data["resets_at"] = rfc3339(end) if end else ""
        data["budget_id"] = names.budget_id(ask.principal.org, scope, scope_id, window)
    return data


def _sentence(held: Held, data: dict[str, Any], estimate: int) -> str:
    if not held.scope:
        return (
            f"This call may cost {usd_short(estimate)}, more than the {usd_short(held.limit)} "
            "it may cost at most (x-modelmuxer-max-cost-usd)."
        )
    budget = f"The {data['window']} budget of {data['scope']} {data['scope_id']}"
    left = f"has {usd_short(held.room)} left" if held.room > 0 else "is used up"
    reserved = f" and {usd_short(held.reserved)} reserved" if held.reserved else ""
    until, fix = "", "Raise the limit"
    if held.room > 0:
        fix += ", or ask for less (a lower max_tokens, a cheaper model)"
    elif data["resets_at"]:
        fix += " or wait for the reset"
    if data["resets_at"]:
        until = f"; it resets at {data['resets_at']}"
    return (
        f"{budget} {left}: {usd_short(held.spent)} of {usd_short(held.limit)} spent{reserved}, "
        f"and this call may cost {usd_short(estimate)}{until}. {fix}."
    )


def over_limit(answer: Answer, now: float) -> LimitExceeded:
    scope, _, scope_id = answer.name.partition(":")
    seconds = max(1, math.ceil(answer.retry_after))
    view = RateView(
        name=answer.name,
        rpm=answer.max if answer.limit == "rpm" else 0,
        tpm=answer.max if answer.limit == "tpm" else 0,
        requests=answer.max - answer.used,
        tokens=answer.max - answer.used,
    )
    return LimitExceeded(
        f"The limit of {answer.max} {WORDS[answer.limit]} of {scope} {scope_id} is reached; "
        f"retry in {seconds} s.",
        {
            "limit": answer.limit,
            "max": answer.max,
            "used": answer.used,
            "scope": scope,
            "scope_id": scope_id,
            "retry_after": seconds,
            "reset": rfc3339(now + seconds),
            "headers": refused_headers(view, now, answer.retry_after),
        },
    )

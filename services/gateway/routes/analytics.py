"""Budgets (the ledger's numbers)."""

from typing import Any

from fastapi import APIRouter, Request

from libs.common.contracts.spending import (
    DELETE_BUDGET,
    LIST_BUDGETS,
    SET_BUDGET,
    BudgetState,
    DeleteBudget,
    ListBudgets,
    SetBudget,
)
from libs.common.errors import InvalidRequest
from libs.common.money import parse_usd, usd
from services.gateway.audit import audit
from services.gateway.routes.callers import json_object, kit_of, principal
from services.gateway.routes.declared import BUDGET, FAULTS, json_body, query
from services.gateway.routes.forms import flag, known_fields, moment, one_of, text

router = APIRouter()
WINDOWS = ("hourly", "daily", "weekly", "monthly", "total")
SCOPES = ("org", "team", "user", "key", "run")
MODES = ("block", "downgrade", "advise")
BUDGET_FIELDS = {
    "budget_type", "budget_limit", "alert_thresholds", "scope", "scope_id", "mode", "clamp",
}  # fmt: skip


@router.post("/v1/analytics/budgets", responses=FAULTS, openapi_extra=json_body(BUDGET))
async def set_budget(request: Request) -> dict[str, Any]:
    """The guide's form sets a budget of the caller's own key; `scope` needs an administrator.
    The answer is the budget, and in `budgets` the same in the form that GET has."""
    who = await principal(request)
    form = await json_object(request)
    known_fields(form, BUDGET_FIELDS)
    wanted = SetBudget(
        principal=who,
        scope=one_of(form, "scope", SCOPES, "key"),
        scope_id=text(form, "scope_id"),
        window=one_of(form, "budget_type", WINDOWS),
        limit=_amount(form.get("budget_limit")),
        thresholds=_thresholds(form.get("alert_thresholds", [50, 80, 95])),
        mode=one_of(form, "mode", MODES, "block"),
        clamp=flag(form, "clamp", True),
    )
    state = await kit_of(request).bus.ask(SET_BUDGET, wanted)
    shown = budget_json(state)
    audit(
        kit_of(request), who, "budget.set", shown["id"], limit=shown["limit"], window=wanted.window
    )
    return shown | {"budgets": [shown]}


@router.get("/v1/analytics/budgets", responses=FAULTS, openapi_extra=query("scope", "scope_id"))
async def list_budgets(request: Request) -> dict[str, Any]:
    """Each budget that applies to the caller; an administrator sees all of the org."""
    who = await principal(request)
    query = dict[str, object](request.query_params)
    ask = ListBudgets(
        principal=who,
        all=who.admin,
        scope=one_of(query, "scope", (*SCOPES, ""), ""),
        scope_id=text(query, "scope_id"),
    )
    found = await kit_of(request).bus.ask(LIST_BUDGETS, ask)
    return {"budgets": [budget_json(state) for state in found.budgets], "currency": "USD"}


@router.delete("/v1/analytics/budgets/{id}", responses=FAULTS)
async def delete_budget(request: Request, id: str) -> dict[str, Any]:
    who = await principal(request)
    await kit_of(request).bus.ask(DELETE_BUDGET, DeleteBudget(principal=who, id=id[:200]))
    audit(kit_of(request), who, "budget.delete", id)
    return {"deleted": id}


def budget_json(state: BudgetState) -> dict[str, Any]:
    """A budget as clients read it: money as decimal text in US dollars."""
    budget = state.budget
    return {
        "id": budget.id,
        "budget_type": budget.window,
        "scope": budget.scope,
        "scope_id": budget.scope_id,
        "limit": usd(budget.limit),
        "spent": usd(state.spent),
        "reserved": usd(state.reserved),
        "remaining": usd(state.remaining),
        "percent": state.percent,
        "window_start": moment(state.window_start),
        "resets_at": moment(state.resets_at) if state.resets_at else None,
        "alert_thresholds": list(budget.thresholds),
        "thresholds_passed": list(state.passed),
        "mode": budget.mode,
        "clamp": budget.clamp,
        "owner": budget.owner,
    }


def _amount(value: object) -> int:
    if value is None:
        raise InvalidRequest("budget_limit: Field required (US dollars, such as 5.0)")
    try:
        limit = parse_usd(value)
    except ValueError as error:
        raise InvalidRequest(f"budget_limit: {error}") from None
    if limit <= 0:
        raise InvalidRequest(
            "budget_limit: must be at least 0.000001 US dollars; DELETE removes it"
        )
    return limit


def _thresholds(value: object) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) > 10:
        raise InvalidRequest(
            "alert_thresholds: must be a list of at most 10 percentages, such as [50, 80, 95]"
        )
    for each in value:
        if isinstance(each, bool) or not isinstance(each, int | float) or not 0 < each <= 100:
            raise InvalidRequest("alert_thresholds: each must be a percentage above 0, up to 100")
    if value != sorted(set(value)):
        raise InvalidRequest("alert_thresholds: must rise, with no value twice")
    return tuple(float(each) for each in value)

"""Why a model was chosen: one decision explained, and a dry run."""

import time
from typing import Any

import msgspec
from fastapi import APIRouter, Request

from libs.common.contracts.routing import (
    FEEDBACK,
    GET_DECISION,
    ROUTE,
    Candidate,
    Feedback,
    GetDecision,
    Plan,
)
from libs.common.errors import InvalidRequest
from libs.common.money import usd
from services.gateway.body import Body
from services.gateway.call import new_request_id
from services.gateway.endpoint import call_of
from services.gateway.http import RequestHeaders, read_body
from services.gateway.plan import question
from services.gateway.routes.callers import json_object, key_of, kit_of, principal
from services.gateway.routes.forms import known_fields, moment, one_of

router = APIRouter()


@router.post("/v1/route")
async def explain(request: Request) -> dict[str, Any]:
    """The plan for a Messages body, without calling a provider or spending anything."""
    kit, key = kit_of(request), await key_of(request)
    headers = RequestHeaders(request.scope["headers"])
    settings = kit.settings.gateway
    raw = await read_body(headers, request.receive, settings.max_body, settings.timeouts.body)
    body = Body(raw, needs_max_tokens=False)
    call = call_of(kit, request.scope, headers, key, body, "messages", new_request_id())
    plan = await kit.bus.ask(ROUTE, await question(kit, call, dry_run=True))
    return {"asked": call.features.model, **plan_json(plan)}


@router.get("/v1/decisions/{id}")
async def decision(request: Request, id: str) -> dict[str, Any]:
    """Features, candidates with their cost and quality, and why the others were rejected."""
    who = await principal(request)
    found = await kit_of(request).bus.ask(
        GET_DECISION, GetDecision(decision_id=id[:100], principal=who)
    )
    features = msgspec.to_builtins(found.features)
    features.pop("user_text", None)
    return {
        "request_id": found.request_id,
        "at": moment(found.at),
        "asked": found.features.model,
        "features": features,
        **plan_json(found.plan),
        **found.extra,
    }


def plan_json(plan: Plan) -> dict[str, Any]:
    return {
        "decision_id": plan.decision_id,
        "reason": plan.reason,
        "confidence": plan.confidence,
        "label": plan.label,
        "routing": plan.routing,
        "baseline": plan.baseline,
        "saved_usd_estimate": usd(plan.saved),
        "switch_cost_usd": usd(plan.switch_cost),
        "moved": plan.moved,
        "candidates": [_candidate(each) for each in plan.candidates],
        "rejected": [{"model": each.model, "why": each.why} for each in plan.rejected],
    }


def _candidate(each: Candidate) -> dict[str, Any]:
    return {
        "model": each.model,
        "provider": each.provider,
        "deployment": each.deployment,
        "quality": each.quality,
        "expected_usd": usd(each.expected),
        "worst_case_usd": usd(each.estimate),
        "why": each.why,
        "simulated": each.simulated,
        "unpriced": each.unpriced,
    }


@router.post("/v1/decisions/{id}/feedback", status_code=202)
async def feedback(request: Request, id: str) -> dict[str, Any]:
    """What the caller says of a decision: `{"score": -1 … 1}` or `{"rating": "good"|"bad"}`."""
    who = await principal(request)
    form = await json_object(request)
    known_fields(form, {"score", "rating"})
    kit = kit_of(request)
    # Only who made the request (or an administrator) may judge its decision.
    await kit.bus.ask(GET_DECISION, GetDecision(decision_id=id[:100], principal=who))
    said = Feedback(decision_id=id[:100], principal=who, score=_score(form), at=time.time())
    kit.outbox.put(FEEDBACK, said, f"{said.decision_id}.{who.key_id}.{said.at}")
    return {"decision_id": id, "score": said.score}


def _score(form: dict[str, object]) -> float:
    if "rating" in form:
        return 1.0 if one_of(form, "rating", ("good", "bad")) == "good" else -1.0
    score = form.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float) or not -1 <= score <= 1:
        raise InvalidRequest('score: a number from -1 (bad) to 1 (good), or "rating": "good"')
    return float(score)

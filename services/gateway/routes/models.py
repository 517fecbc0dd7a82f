"""`/v1/models`: one object that Anthropic's and OpenAI's SDKs both parse.

Claude Code's discovery keeps only ids that begin with `claude` or `anthropic`
(claude-wire: endpoints), so other providers' models are listed a second time as
`anthropic/<name>`, which routes to them.
"""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from libs.common.catalogue import ModelFacts
from libs.common.errors import InvalidRequest, NotFound
from services.gateway.kit import Kit
from services.gateway.routes.callers import kit_of, principal

router = APIRouter()
AUTO = ("modelmuxer-auto", "claude-modelmuxer-auto")
MAX_PAGE = 1000
EPOCH = "2025-01-01"


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """Paged by `limit`, `after_id`, `before_id`."""
    await principal(request)
    entries = catalogue(kit_of(request))
    ids = [entry["id"] for entry in entries]
    query = request.query_params
    limit = _limit(query.get("limit"))
    start = _place(ids, query.get("after_id"), "after_id") + 1 if "after_id" in query else 0
    end = _place(ids, query.get("before_id"), "before_id") if "before_id" in query else len(ids)
    page = entries[start:end][:limit]
    return {
        "object": "list",
        "data": page,
        "has_more": start + len(page) < end,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
    }


@router.get("/v1/models/{model:path}")
async def get_model(request: Request, model: str) -> dict[str, Any]:
    await principal(request)
    kit = kit_of(request)
    for entry in catalogue(kit):
        if entry["id"] == model:
            return entry
    resolved = kit.catalogue.resolve(model)
    facts = kit.catalogue.facts(resolved.model) if resolved else None
    if facts is None:
        raise NotFound(f"model: {model[:100]!r} is not known here; {kit.catalogue.hint(model)}")
    return _entry(model, facts.display or facts.name, facts.created, facts.provider)


def catalogue(kit: Kit) -> list[dict[str, Any]]:
    """Every model that a live provider serves, and the names that leave the choice to us."""
    entries = [_entry(name, "ModelMuxer (automatic)", "", "modelmuxer") for name in AUTO]
    facts = _served(kit)
    entries += [_entry(f.name, f.display or f.name, f.created, f.provider) for f in facts]
    entries += [
        _entry(f"anthropic/{f.name}", f.display or f.name, f.created, f.provider)
        for f in facts
        if not f.name.startswith("claude")
    ]
    return entries


def _served(kit: Kit) -> list[ModelFacts]:
    if kit.deployments.simulated:
        return kit.catalogue.models(["anthropic", "openai", "gemini", "mistral"])
    found: dict[str, ModelFacts] = {}
    for target in kit.deployments.targets.values():
        deployment = target.deployment
        for facts in kit.catalogue.models([deployment.catalogue or deployment.provider]):
            if not deployment.models or facts.name in deployment.models:
                found.setdefault(facts.name, facts)
    return list(found.values())


def _entry(id: str, display: str, created: str, owner: str) -> dict[str, Any]:
    day = datetime.fromisoformat(created or EPOCH).replace(tzinfo=UTC)
    return {
        "id": id,
        "type": "model",
        "object": "model",
        "display_name": display,
        "created_at": day.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "created": int(day.timestamp()),
        "owned_by": owner,
    }


def _limit(text: str | None) -> int:
    if text is None:
        return MAX_PAGE
    # Other scripts have digits that int() does not read, and it refuses very many.
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_PAGE):
        raise InvalidRequest(f"limit: must be a whole number from 1 to {MAX_PAGE}")
    return int(text)


def _place(ids: list[str], id: str | None, name: str) -> int:
    try:
        return ids.index(id or "")
    except ValueError:
        raise InvalidRequest(f"{name}: no model {str(id)[:100]!r} is listed here") from None

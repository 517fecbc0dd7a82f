"""What administrators do: keys, limits, pauses. The ledger decides; this reads forms."""

import time
from typing import Any

from fastapi import APIRouter, Request

from libs.common.contracts.identity import ROUTINGS, Key, Limits
from libs.common.contracts.spending import (
    ACT_ON_KEY,
    CREATE_KEY,
    LIST_KEYS,
    LIST_LIMITS,
    LIST_PAUSES,
    PAUSE,
    SET_LIMITS,
    AskAsAdmin,
    CreateKey,
    KeyAction,
    LimitEntry,
    Pause,
    SetLimits,
)
from libs.common.errors import InvalidRequest
from services.gateway.audit import audit
from services.gateway.routes.callers import administrator, json_object, kit_of
from services.gateway.routes.forms import flag, known_fields, moment, one_of, text, whole

router = APIRouter(prefix="/v1/admin")
KEY_FIELDS = {
    "name", "org", "team", "user", "routing", "routing_max", "pii", "cache", "models", "rpm",
    "tpm", "concurrency", "admin", "expires_in_days", "subscription",
}  # fmt: skip
DAY = 86400
MAX_DAYS = 3660


@router.post("/keys", status_code=201)
async def create_key(request: Request) -> dict[str, Any]:
    """Make a key. `secret` is shown here and never again."""
    who = await administrator(request)
    key = _key(await json_object(request))
    made = await kit_of(request).bus.ask(CREATE_KEY, CreateKey(principal=who, key=key))
    audit(kit_of(request), who, "key.create", made.key.id, name=made.key.name, team=made.key.team)
    return {"key": key_json(made.key), "secret": made.secret}


@router.get("/keys")
async def list_keys(request: Request) -> dict[str, Any]:
    who = await administrator(request)
    found = await kit_of(request).bus.ask(LIST_KEYS, AskAsAdmin(principal=who))
    return {"keys": [key_json(key) for key in found.keys]}


@router.post("/keys/{id}/rotate")
async def rotate_key(request: Request, id: str) -> dict[str, Any]:
    """A new secret; the old one lives on for `grace_seconds`."""
    who = await administrator(request)
    form = await json_object(request)
    known_fields(form, {"grace_seconds"})
    action = KeyAction(
        principal=who, id=id, action="rotate", grace=float(whole(form, "grace_seconds", 30 * DAY))
    )
    made = await kit_of(request).bus.ask(ACT_ON_KEY, action)
    audit(kit_of(request), who, "key.rotate", id, grace=action.grace)
    return {"key": key_json(made.key), "secret": made.secret}


@router.delete("/keys/{id}")
async def revoke_key(request: Request, id: str) -> dict[str, Any]:
    who = await administrator(request)
    action = KeyAction(principal=who, id=id, action="revoke")
    made = await kit_of(request).bus.ask(ACT_ON_KEY, action)
    audit(kit_of(request), who, "key.revoke", id)
    return {"key": key_json(made.key)}


@router.post("/limits")
async def set_limits(request: Request) -> dict[str, Any]:
    """Limits of a key, user, team or the default; all zero removes them."""
    who = await administrator(request)
    form = await json_object(request)
    known_fields(form, {"scope", "scope_id", "rpm", "tpm", "concurrency"})
    wanted = SetLimits(
        principal=who,
        scope=one_of(form, "scope", ("key", "user", "team", "default")),
        scope_id=text(form, "scope_id"),
        limits=_limits(form),
    )
    entry = await kit_of(request).bus.ask(SET_LIMITS, wanted)
    audit(
        kit_of(request),
        who,
        "limits.set",
        f"{wanted.scope}:{wanted.scope_id}",
        **_limit_json(entry),
    )
    return _limit_json(entry)


@router.get("/limits")
async def list_limits(request: Request) -> dict[str, Any]:
    who = await administrator(request)
    found = await kit_of(request).bus.ask(LIST_LIMITS, AskAsAdmin(principal=who))
    return {"limits": [_limit_json(entry) for entry in found.limits]}


@router.post("/pauses")
async def pause(request: Request) -> dict[str, Any]:
    """Stop or resume a run, key, user or team at once; open streams end."""
    who = await administrator(request)
    form = await json_object(request)
    known_fields(form, {"scope", "scope_id", "paused", "reason"})
    wanted = Pause(
        principal=who,
        scope=one_of(form, "scope", ("run", "key", "user", "team")),
        scope_id=_named(form, "scope_id"),
        paused=flag(form, "paused", True),
        reason=text(form, "reason"),
    )
    await kit_of(request).bus.ask(PAUSE, wanted)
    action = "pause" if wanted.paused else "resume"
    audit(kit_of(request), who, action, f"{wanted.scope}:{wanted.scope_id}", reason=wanted.reason)
    return {"scope": wanted.scope, "scope_id": wanted.scope_id, "paused": wanted.paused}


@router.get("/pauses")
async def list_pauses(request: Request) -> dict[str, Any]:
    who = await administrator(request)
    found = await kit_of(request).bus.ask(LIST_PAUSES, AskAsAdmin(principal=who))
    return {
        "pauses": [
            {"scope": p.scope, "scope_id": p.scope_id, "reason": p.reason, "at": moment(p.at)}
            for p in found.pauses
            if p.paused
        ]
    }


def key_json(key: Key) -> dict[str, Any]:
    """A key's record as administrators see it; it never held the secret."""
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "org": key.org,
        "team": key.team,
        "user": key.user,
        "admin": key.admin,
        "routing": key.routing,
        "routing_max": key.widest,
        "pii": key.pii,
        "cache": key.cache,
        "models": list(key.models),
        "rpm": key.limits.rpm,
        "tpm": key.limits.tpm,
        "concurrency": key.limits.concurrency,
        "subscription": key.subscription,
        "created_at": moment(key.created_at) if key.created_at else None,
        "expires_at": moment(key.expires_at) if key.expires_at else None,
        "revoked_at": moment(key.revoked_at) if key.revoked_at else None,
    }


def _key(form: dict[str, object]) -> Key:
    known_fields(form, KEY_FIELDS)
    days = whole(form, "expires_in_days", MAX_DAYS)
    return Key(
        id="",
        name=_named(form, "name"),
        org=text(form, "org", "default"),
        team=text(form, "team"),
        user=text(form, "user"),
        admin=flag(form, "admin"),
        routing=one_of(form, "routing", ROUTINGS, "auto"),
        routing_max=one_of(form, "routing_max", (*ROUTINGS, ""), ""),
        pii=one_of(form, "pii", ("on", "off"), "on"),
        cache=one_of(form, "cache", ("off", "read", "read-write"), "off"),
        models=_globs(form.get("models", [])),
        limits=_limits(form),
        subscription=flag(form, "subscription"),
        managed=True,
        expires_at=time.time() + days * DAY if days else 0.0,
    )


def _globs(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > 100:
        raise InvalidRequest("models: must be a list of at most 100 model names or globs")
    if not all(isinstance(each, str) and 0 < len(each) <= 200 for each in value):
        raise InvalidRequest("models: each must be a model name or a glob such as claude-*")
    return tuple(str(each) for each in value)


def _limits(form: dict[str, object]) -> Limits:
    return Limits(
        rpm=whole(form, "rpm"), tpm=whole(form, "tpm"), concurrency=whole(form, "concurrency")
    )


def _named(form: dict[str, object], name: str) -> str:
    if not (value := text(form, name).strip()):
        raise InvalidRequest(f"{name}: Field required")
    return value


def _limit_json(entry: LimitEntry) -> dict[str, Any]:
    limits = entry.limits
    return {
        "scope": entry.scope,
        "scope_id": entry.scope_id,
        "rpm": limits.rpm,
        "tpm": limits.tpm,
        "concurrency": limits.concurrency,
    }

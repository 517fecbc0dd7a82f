"""The response cache: the same masked request of the same tenant gets the same answer.

Off unless a key, a header or a setting asks for it. What is stored is masked: it holds
placeholders, never values. Refusals, errors and cut answers are never stored. A hit costs
nothing and books what the answer cost when it was made.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import Struct

from libs.common.contracts.routing import Candidate
from libs.common.errors import InvalidRequest, Unavailable
from services.gateway.assemble import events_of, message_of
from services.gateway.booking import cost_of
from services.gateway.call import Attempt, Call, Reply
from services.gateway.http import JSON
from services.gateway.kit import Kit

log = logging.getLogger(__name__)
MODES = ("off", "read", "read-write")
# What does not change an answer, or changes with every request.
IGNORED = frozenset({"stream", "metadata", "service_tier"})
BILLING = "x-anthropic-billing-header"
STOPS = frozenset({"end_turn", "tool_use", "stop_sequence"})
POLL_SECONDS = 0.05


class Kept(Struct, kw_only=True):
    """An answer as it was given: masked, canonical, whole."""

    message: dict[str, Any]
    model: str
    provider: str
    cost: int
    at: float


def mode_of(kit: Kit, call: Call) -> str:
    """What the request, its key and the settings say. Raises InvalidRequest."""
    wanted = call.headers.get(b"x-modelmuxer-cache")
    if wanted and wanted not in MODES:
        why = "no local embedding model ships, so only identical requests match; "
        said = why if wanted == "semantic" else ""
        raise InvalidRequest(f"x-modelmuxer-cache: {said}use one of {', '.join(MODES)}")
    if call.features.thread or call.features.opaque:
        return "off"
    mode = wanted or call.key.cache
    if mode == "off" and not wanted and kit.settings.gateway.cache.temperature_zero:
        mode = "read-write" if _is_zero(call.fields.get("temperature")) else "off"
    return mode


def name_of(call: Call) -> str:
    """The cache key: tenant, routing and the masked body, in one order of its fields."""
    digest = hashlib.blake2b(digest_size=20)
    digest.update(f"{call.principal.org}\0{call.routing}\0{call.door}\0".encode())
    for name in sorted(call.fields):
        if name not in IGNORED:
            digest.update(name.encode() + b"\0" + _normalised(name, call.fields[name]) + b"\0")
    return f"answer:{digest.hexdigest()}"


async def look_up(kit: Kit, call: Call, mode: str) -> Reply | None:
    """A kept answer, waiting for one that an identical request is getting right now."""
    call.cache, call.cache_name = "miss", name_of(call)
    call.cache_writes = mode == "read-write"
    settings = kit.settings.gateway
    deadline = time.monotonic() + settings.timeouts.first_token
    try:
        while True:
            if kept := await kit.vault.get(call.cache_name, Kept):
                call.cache, call.cache_writes = "hit", False
                return _reply(call, kept)
            if not call.cache_writes:
                return None
            if await kit.vault.claim(call.cache_name, settings.cache.claim):
                call.cache_claimed = True
                return None
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)
    except Unavailable as error:
        log.warning("the response cache is away: %s", error.detail)
        call.cache = "unavailable"
        return None


def keep(kit: Kit, call: Call, reply: Reply, whole: bytes) -> None:
    """Store a complete answer, off the way of the client."""
    if not call.cache_writes or call.cache != "miss":
        return
    task = asyncio.ensure_future(_keep(kit, call, reply, whole))
    kit.background.add(task)
    task.add_done_callback(kit.background.discard)


async def let_go(kit: Kit, call: Call) -> None:
    """Nothing to store: the next identical request need not wait."""
    if call.cache_claimed:
        await kit.vault.unclaim(call.cache_name)


async def _keep(kit: Kit, call: Call, reply: Reply, whole: bytes) -> None:
    settings = kit.settings.gateway.cache
    meter = reply.attempt.meter
    try:
        complete = bool(whole) and meter.ended and meter.stop_reason in STOPS
        message = _message(call, whole) if complete else None
        if message is not None and len(whole) <= settings.max_bytes:
            candidate = reply.attempt.candidate
            kept = Kept(
                message=message,
                model=candidate.model,
                provider=candidate.provider,
                cost=cost_of(kit, call, candidate, meter.tokens()),
                at=time.time(),
            )
            await kit.vault.put(call.cache_name, kept, settings.ttl)
        await let_go(kit, call)
    except Unavailable as error:
        log.warning("an answer was not cached: %s", error.detail)


def _message(call: Call, whole: bytes) -> dict[str, Any] | None:
    if call.stream:
        return message_of(whole)
    message: dict[str, Any] = msgspec.json.decode(whole)
    return message


def _reply(call: Call, kept: Kept) -> Reply:
    candidate = Candidate(
        deployment="cache",
        provider=kept.provider,
        model=kept.model,
        dialect="anthropic",
        estimate=0,
    )
    attempt = Attempt(number=0, candidate=candidate, reservation=None)
    attempt.saved = kept.cost
    age = (b"age", str(int(time.time() - kept.at)).encode())
    if call.stream:
        return Reply(
            attempt=attempt, status=200, headers=[age], rest=_replayed(attempt, kept.message)
        )
    body = msgspec.json.encode(kept.message)
    attempt.meter.message(body)
    return Reply(attempt=attempt, status=200, headers=[JSON, age], body=body)


async def _replayed(attempt: Attempt, message: dict[str, Any]) -> AsyncIterator[bytes]:
    """Event by event, as a stream is."""
    for event in events_of(message).split(b"\n\n"):
        if event:
            attempt.meter.feed(event + b"\n\n")
            yield event + b"\n\n"


def _normalised(name: str, raw: msgspec.Raw) -> bytes:
    """Without white space; the billing line of Claude Code changes with every prompt."""
    value = msgspec.json.decode(raw)
    if name == "system" and isinstance(value, list):
        value = [b for b in value if not str(b.get("text", "")).startswith(BILLING)]
    return msgspec.json.encode(value, order="sorted")


def _is_zero(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw) in (b"0", b"0.0")

"""Look an answer up, and keep one that has ended well."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
from msgspec import Struct

from libs.common.contracts.identity import CacheMode
from libs.common.contracts.routing import Candidate
from libs.common.errors import InvalidRequest, Unavailable
from services.gateway.answers.names import name_of
from services.gateway.answers.similar import names_of_similar, remember
from services.gateway.assemble import events_of, message_of
from services.gateway.booking import cost_of
from services.gateway.call import Attempt, Call, Reply
from services.gateway.http import JSON
from services.gateway.kit import Kit
from services.gateway.providers.text import load_object

log = logging.getLogger(__name__)
MODES = get_args(CacheMode)
NO_EMBEDDER = (
    "semantic needs a local embedding model: pip install 'modelmuxer[semantic]', set "
    "gateway.cache.semantic.model (docs/configuration.md#similar-questions), or use read-write"
)
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
        raise InvalidRequest(f"x-modelmuxer-cache: use one of {', '.join(MODES)}")
    mode = wanted or call.key.cache
    if mode == "semantic" and kit.embedder is None:
        raise InvalidRequest(
            f"{'x-modelmuxer-cache' if wanted else 'cache of this key'}: {NO_EMBEDDER}"
        )
    if call.features.thread or call.features.opaque:
        return "off"
    if mode == "off" and not wanted and kit.settings.gateway.cache.temperature_zero:
        mode = "read-write" if _is_zero(call.fields.get("temperature")) else "off"
    return mode


async def look_up(kit: Kit, call: Call, mode: str) -> Reply | None:
    """A kept answer, waiting for one that an identical request is getting right now."""
    call.cache, call.cache_name = "miss", name_of(call)
    call.cache_writes = mode != "read" and not call.unscanned
    settings = kit.settings.gateway
    deadline = time.monotonic() + settings.timeouts.first_token
    try:
        while True:
            if kept := await kit.vault.get(call.cache_name, Kept):
                return _hit(call, kept, "hit")
            if not call.cache_writes:
                return None
            if await kit.vault.claim(call.cache_name, settings.cache.claim):
                call.cache_claimed = True
                return await _similar(kit, call) if mode == "semantic" else None
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(POLL_SECONDS)
    except Unavailable as error:
        log.warning("the response cache is away: %s", error.detail)
        call.cache = "unavailable"
        return None


async def _similar(kit: Kit, call: Call) -> Reply | None:
    if kit.embedder is None:
        return None
    async for name in names_of_similar(kit, kit.embedder, call):
        if kept := await kit.vault.get(name, Kept):
            await let_go(kit, call)
            return _hit(call, kept, "semantic")
    return None


def _hit(call: Call, kept: Kept, how: str) -> Reply:
    call.cache, call.cache_writes = how, False
    return _reply(call, kept)


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
                cost=cost_of(kit, call, reply.attempt, meter.tokens())[0],
                at=time.time(),
            )
            await kit.vault.put(call.cache_name, kept, settings.ttl)
            await remember(kit, call, message)
        await let_go(kit, call)
    except Unavailable as error:
        log.warning("an answer was not cached: %s", error.detail)


def _message(call: Call, whole: bytes) -> dict[str, Any] | None:
    if call.stream:
        return message_of(whole)
    try:
        return load_object(whole)
    except (ValueError, RecursionError):
        return None


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


def _is_zero(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw) in (b"0", b"0.0")

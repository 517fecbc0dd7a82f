"""`/v1/messages/batches`, all verbs. Who made a batch may see it; nobody else."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.contracts.identity import Key
from libs.common.errors import NotFound, Unavailable
from services.gateway import batches
from services.gateway.batches import KEPT_SECONDS, SENDING_SECONDS, Held
from services.gateway.body import Body
from services.gateway.call import new_request_id
from services.gateway.endpoint import call_of
from services.gateway.errors import HttpFault
from services.gateway.forward import (
    Unanswered,
    anthropic_target,
    entries,
    forward,
    lines,
    response,
    streamed,
    tree,
)
from services.gateway.http import RequestHeaders, read_body
from services.gateway.kit import Kit
from services.gateway.providers import DIALECTS
from services.gateway.providers.text import dump
from services.gateway.routes.callers import MAX_JSON, key_of, kit_of
from services.gateway.upstream import CallFailed

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/messages/batches")


@router.post("")
async def create(request: Request) -> Response:
    """Mask, reserve per model at batch price, send, and remember how to settle."""
    kit, key = kit_of(request), await key_of(request)
    target = anthropic_target(kit, "batches")
    headers = RequestHeaders(request.scope["headers"])
    settings = kit.settings.gateway
    raw = await read_body(headers, request.receive, settings.max_body, settings.timeouts.body)
    items = batches.parse(raw)
    id = new_request_id()
    calls = [
        call_of(kit, request.scope, headers, key, Body(bytes(item.params), settings), "batches", id)
        for item in items
    ]
    groups, mapping = await batches.prepare(kit, calls)
    row = batches.first_row(calls[0], target.deployment.provider, target.deployment.id)
    held = Held(row=row, groups=groups, mapping=mapping)
    try:
        # What cannot be kept must not be sent: nobody could read or settle it.
        await kit.vault.put(_name(id), held, SENDING_SECONDS)
        reply = await forward(kit, request, target, batches.body_of(kit, items, calls))
        made, answer_headers = await tree(reply, Unanswered)
        if not isinstance(made.get("id"), str):
            raise Unanswered(502, "the provider took the batch and did not name it")
    except Unanswered as error:
        # It may run: what is reserved is booked when it expires.
        log.error("a batch may run, but its id is not known (%s): %s", id, error.detail)
        raise
    except Exception as error:
        batches.release(kit, calls[0], groups, error)
        raise
    await _keep(kit, made["id"], held)
    return response(reply.status, answer_headers, _ours(request, made))


async def _keep(kit: Kit, id: str, held: Held) -> None:
    """The batch runs already: an error would have the client make it a second time. If it cannot
    be kept, what is reserved for it is booked when that expires."""
    try:
        await kit.vault.put(_name(id), held, KEPT_SECONDS)
    except Unavailable as error:
        log.error("batch %s runs, but its results cannot be read here: %s", id, error.detail)


@router.get("")
async def list_all(request: Request) -> Response:
    """The provider's list, without the batches of others."""
    kit, key = kit_of(request), await key_of(request)
    reply = await forward(kit, request, anthropic_target(kit, "batches"), b"")
    page, headers = await tree(reply)
    page["data"] = [e for e in entries(page) if await _find(kit, key, str(e.get("id", "")))]
    return response(reply.status, headers, _ours(request, page))


@router.get("/{id}")
async def get(request: Request, id: str) -> Response:
    return await _on_one(request, id)


@router.post("/{id}/cancel")
async def cancel(request: Request, id: str) -> Response:
    return await _on_one(request, id)


@router.delete("/{id}")
async def delete(request: Request, id: str) -> Response:
    return await _on_one(request, id)


@router.get("/{id}/results")
async def results(request: Request, id: str) -> Response:
    """JSON Lines, values restored; what they cost is settled as they pass. The first line is made
    before anything is said, so that a refusal is one."""
    kit, key = kit_of(request), await key_of(request)
    held = await _owned(kit, key, id)
    reply = await forward(kit, request, anthropic_target(kit, "batches"), b"")

    used: batches.Used = {}
    shown = batches.restored(kit, batches.reader_of(held, key), lines(reply), used)
    try:
        first = await anext(shown, b"")
    except BaseException:
        await reply.close()
        raise

    async def body() -> AsyncIterator[bytes]:
        try:
            yield first
            async for line in shown:
                yield line
            batches.settle(kit, held, used)
        finally:
            await reply.close()

    return streamed(kit, reply, body())


async def _on_one(request: Request, id: str) -> Response:
    kit, key = kit_of(request), await key_of(request)
    held = await _owned(kit, key, id)
    sent, seconds = RequestHeaders(request.scope["headers"]), kit.settings.gateway.timeouts.body
    raw = await read_body(sent, request.receive, MAX_JSON, seconds)
    reply = await forward(kit, request, anthropic_target(kit, "batches"), raw)
    state, headers = await tree(reply)
    if state.get("processing_status") == "ended" and not held.settled:
        task = asyncio.create_task(_settle_ended(kit, id, held), name="settle batch")
        kit.background.add(task)
        task.add_done_callback(kit.background.discard)
    return response(reply.status, headers, _ours(request, state))


async def _settle_ended(kit: Kit, id: str, held: Held) -> None:
    """A batch that has ended is settled even if nobody fetches its results."""
    target = anthropic_target(kit, "batches")
    own = DIALECTS["anthropic"].headers(target.credential, target.options)
    headers = [(name.encode(), value.encode()) for name, value in own.items()]
    headers.append((b"anthropic-version", b"2023-06-01"))
    url = f"{target.base_url}/v1/messages/batches/{id}/results"
    try:
        reply = await kit.upstreams.send(
            url, headers, b"", timeouts={"connect": 5.0, "read": 120.0}, method="GET"
        )
    except CallFailed as failure:
        log.warning("batch %s is not settled yet: %s", id, failure.detail)
        return
    used: batches.Used = {}
    try:
        async for line in lines(reply):
            batches.add_usage(line, used)
    except HttpFault as fault:
        log.warning("batch %s is not settled yet: %s", id, fault.detail)
        return
    finally:
        await reply.close()
    if reply.status == 200:
        batches.settle(kit, held, used)
        held.settled = True
        await kit.vault.put(_name(id), held, KEPT_SECONDS)


async def _owned(kit: Kit, key: Key, id: str) -> Held:
    if held := await _find(kit, key, id):
        return held
    raise NotFound(f"batch {id[:100]!r} is not known here, or not yours")


async def _find(kit: Kit, key: Key, id: str) -> Held | None:
    held = await kit.vault.get(_name(id), Held) if id else None
    if held is None:
        return None
    who = held.row.principal
    mine = who.key_id == key.id or (key.admin and who.org == key.org)
    return held if mine else None


def _name(id: str) -> str:
    return f"batch:{id[:200]}"


def _ours(request: Request, told: dict[str, Any]) -> bytes:
    """`results_url` leads back here: an SDK follows it, with the caller's key."""
    here = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
    for entry in (told, *entries(told)):
        if isinstance(entry.get("results_url"), str):
            entry["results_url"] = f"{here}/v1/messages/batches/{entry.get('id')}/results"
    return dump(told)

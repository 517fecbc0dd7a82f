"""`/v1/files`: forwarded to Anthropic. A file belongs to the key that sent it.

The provider keeps all files of its workspace together; the owner of each is remembered here,
so that one key cannot read another's.
"""

from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from libs.common.contracts.identity import Key
from libs.common.errors import NotFound
from services.gateway.forward import (
    anthropic_target,
    chunks,
    entries,
    forward,
    response,
    streamed,
    tree,
    whole,
)
from services.gateway.http import RequestHeaders, read_body
from services.gateway.kit import Kit
from services.gateway.providers.text import dump
from services.gateway.routes.callers import key_of, kit_of

router = APIRouter(prefix="/v1/files")
KEPT_SECONDS = 365 * 86400.0


class Owner(Struct):
    org: str
    key_id: str


@router.post("")
async def upload(request: Request) -> Response:
    """A multipart body up to the gateway's limit, as it came."""
    kit, key = kit_of(request), await key_of(request)
    settings = kit.settings.gateway
    headers = RequestHeaders(request.scope["headers"])
    raw = await read_body(headers, request.receive, settings.max_body, settings.timeouts.body)
    reply = await forward(kit, request, anthropic_target(kit, "files"), raw)
    made, answer_headers = await tree(reply)
    await kit.vault.put(_name(str(made.get("id", ""))), Owner(key.org, key.id), KEPT_SECONDS)
    return response(reply.status, answer_headers, dump(made))


@router.get("")
async def list_files(request: Request) -> Response:
    kit, key = kit_of(request), await key_of(request)
    reply = await forward(kit, request, anthropic_target(kit, "files"), b"")
    page, headers = await tree(reply)
    page["data"] = [e for e in entries(page) if await _is_mine(kit, key, str(e.get("id")))]
    return response(reply.status, headers, dump(page))


@router.get("/{id}")
async def metadata(request: Request, id: str) -> Response:
    return await _whole(request, id)


@router.delete("/{id}")
async def delete(request: Request, id: str) -> Response:
    return await _whole(request, id)


@router.get("/{id}/content")
async def content(request: Request, id: str) -> Response:
    kit = await _checked(request, id)
    reply = await forward(kit, request, anthropic_target(kit, "files"), b"")
    return streamed(kit, reply, chunks(reply))


async def _whole(request: Request, id: str) -> Response:
    kit = await _checked(request, id)
    reply = await forward(kit, request, anthropic_target(kit, "files"), b"")
    body, headers = await whole(reply)
    return response(reply.status, headers, body)


async def _checked(request: Request, id: str) -> Kit:
    kit, key = kit_of(request), await key_of(request)
    if not await _is_mine(kit, key, id):
        raise NotFound(f"file {id[:100]!r} is not known here, or not yours")
    return kit


async def _is_mine(kit: Kit, key: Key, id: str) -> bool:
    owner = await kit.vault.get(_name(id), Owner)
    return owner is not None and (owner.key_id == key.id or (key.admin and owner.org == key.org))


def _name(id: str) -> str:
    return f"file:{id[:200]}"

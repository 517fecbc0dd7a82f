"""`POST /v1/embeddings`, with errors in OpenAI's shape."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from libs.common.errors import InvalidRequest, MuxError
from services.gateway.body import UNREADABLE, Body, unreadable
from services.gateway.call import Call, new_request_id
from services.gateway.door import OpenAIDoor
from services.gateway.doors import DOORS
from services.gateway.embeddings import as_messages, embed
from services.gateway.endpoint import call_of
from services.gateway.errors import headers_of, status_of
from services.gateway.forward import response
from services.gateway.headers import own_headers
from services.gateway.http import JSON, RequestHeaders, read_body
from services.gateway.report import report_refusal
from services.gateway.routes.callers import key_of, kit_of

router = APIRouter()


@router.post("/v1/embeddings")
@router.post("/embeddings")
async def embeddings(request: Request) -> Response:
    id = new_request_id()
    try:
        call, tree = await _read(request, id)
    except MuxError as error:
        report_refusal(status_of(error)[0], error, id)
        return _refusal(error, id)
    try:
        status, headers, answer = await embed(kit_of(request), call, tree)
    except MuxError as error:
        return _refusal(error, id)
    return response(status, [*headers, *own_headers(call)], answer)


async def _read(request: Request, id: str) -> tuple[Call, dict[str, Any]]:
    kit, key = kit_of(request), await key_of(request)
    headers = RequestHeaders(request.scope["headers"])
    settings = kit.settings.gateway
    raw = await read_body(headers, request.receive, settings.max_body, settings.timeouts.body)
    try:
        tree: dict[str, Any] = msgspec.json.decode(raw, type=dict[str, Any])
    except msgspec.ValidationError:
        raise InvalidRequest("the body must be a JSON object") from None
    except UNREADABLE as error:
        raise unreadable(error) from None
    body = Body(as_messages(tree))
    return call_of(kit, request.scope, headers, key, body, "embeddings", id), tree


def _refusal(error: MuxError, id: str) -> Response:
    door = OpenAIDoor("chat", DOORS["chat"])
    headers = [JSON, *headers_of(error), (b"x-modelmuxer-request-id", id.encode())]
    return response(status_of(error)[0], headers, door.error_body(error, id))

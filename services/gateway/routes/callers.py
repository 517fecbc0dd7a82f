"""Who is calling a route that is not a message endpoint."""

import msgspec
from fastapi import Request

from libs.common.contracts.identity import Key, Principal
from libs.common.errors import Forbidden, InvalidRequest
from services.gateway.auth import credentials, principal_of
from services.gateway.body import UNREADABLE, unreadable
from services.gateway.dashboard.session import CSRF_HEADER
from services.gateway.http import RequestHeaders, read_body
from services.gateway.kit import Kit

MAX_JSON = 1024 * 1024


def kit_of(request: Request) -> Kit:
    kit: Kit = request.app.state.kit
    return kit


async def key_of(request: Request) -> Key:
    """By the credential in the headers, or by the dashboard's session. Raises
    Unauthenticated, and Forbidden for a session without its CSRF token."""
    kit, headers = kit_of(request), RequestHeaders(request.scope["headers"])
    if any(credentials(headers)):
        return await kit.keys.find(headers)
    session = (headers.get(b"cookie"), headers.get(CSRF_HEADER.encode()))
    if sha := kit.sessions.of_request(request.method, *session):
        return await kit.keys.of_digest(sha)
    return await kit.keys.find(headers)


async def principal(request: Request) -> Principal:
    key = await key_of(request)
    return principal_of(key, RequestHeaders(request.scope["headers"]), "")


async def administrator(request: Request) -> Principal:
    who = await principal(request)
    if not who.admin:
        raise Forbidden("this needs an administrator's key ([keys.NAME] admin = true)")
    return who


async def json_object(request: Request) -> dict[str, object]:
    """The body as a JSON object. Raises InvalidRequest, and what reading it raises."""
    headers = RequestHeaders(request.scope["headers"])
    seconds = kit_of(request).settings.gateway.timeouts.body
    raw = await read_body(headers, request.receive, MAX_JSON, seconds)
    try:
        body = msgspec.json.decode(raw or b"{}", type=dict[str, object])
    except msgspec.ValidationError:
        raise InvalidRequest("the body must be a JSON object") from None
    except UNREADABLE as error:
        raise unreadable(error) from None
    return body

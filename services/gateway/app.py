"""The ASGI application: message endpoints first, as plain callables; FastAPI for the rest."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match, Route

from libs.common.contracts.reports import LIVE
from libs.common.errors import InvalidRequest, MuxError
from services.gateway.auth import check_host, is_loopback
from services.gateway.call import new_request_id
from services.gateway.counting import CountEndpoint
from services.gateway.dashboard.live import Live
from services.gateway.dashboard.routes import dashboard_routes
from services.gateway.door import Door, MessagesDoor, OpenAIDoor
from services.gateway.doors import DOORS
from services.gateway.endpoint import MessagesEndpoint, refuse
from services.gateway.errors import Fault, HttpFault
from services.gateway.http import (
    SECURITY_HEADERS,
    ClientGone,
    Message,
    Reading,
    Receive,
    RequestHeaders,
    Scope,
    Send,
    discard_body,
)
from services.gateway.kit import Kit
from services.gateway.peers import Peers
from services.gateway.routes import (
    admin,
    analytics,
    batches,
    decisions,
    embeddings,
    files,
    health,
    models,
    pii,
    reports,
)

log = logging.getLogger(__name__)
MESSAGES = ("/v1/messages", "/messages", "/v1/v1/messages")
OPENAI = {
    "/v1/chat/completions": "chat",
    "/chat/completions": "chat",
    "/v1/responses": "responses",
    "/responses": "responses",
}
MAX_HEADER_BYTES = 64 * 1024
TOO_SLOW = 408
HSTS = (b"strict-transport-security", b"max-age=31536000")
Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]


def make_app(kit: Kit) -> "App":
    hot: dict[str, Endpoint] = dict.fromkeys(MESSAGES, MessagesEndpoint(kit, MessagesDoor))
    hot |= dict.fromkeys((f"{path}/count_tokens" for path in MESSAGES), CountEndpoint(kit))
    for path, name in OPENAI.items():
        hot[path] = MessagesEndpoint(kit, partial(OpenAIDoor, name, DOORS[name]))
    return App(kit, hot, _fastapi(kit))


def door_of(path: str) -> Door:
    """Whose shape the errors of a path have."""
    name = "chat" if path.endswith("/embeddings") else OPENAI.get(path)
    return OpenAIDoor(name, DOORS[name]) if name else MessagesDoor()


class App:
    """Dispatches a request by path and checks what holds for every request."""

    def __init__(self, kit: Kit, hot: dict[str, Endpoint], rest: FastAPI) -> None:
        self._kit, self._hot, self._rest = kit, hot, rest
        gateway = kit.settings.gateway
        self._check_host = is_loopback(gateway.host)
        self._allowed = frozenset([gateway.host, *gateway.allowed_hosts])
        self._tls = bool(gateway.tls_cert)
        self._most = 4 * gateway.max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._tls:
            send = _with_hsts(send)
        try:
            self._check(scope)
            endpoint = self._hot.get(scope["path"])
            if endpoint and scope["method"] != "POST":
                words = f"{scope['path']}: use POST, not {scope['method']}"
                raise HttpFault(405, words, {"allow": "POST"})
        except MuxError as error:
            await discard_body(receive, self._most)
            await refuse(send, door_of(scope["path"]), error, new_request_id())
            return
        if endpoint:
            await endpoint(scope, receive, send)
        else:
            reading = Reading(receive)
            await self._rest(scope, reading, _secured(send, reading, self._most))

    def _check(self, scope: Scope) -> None:
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > MAX_HEADER_BYTES:
            raise HttpFault(431, f"headers: {size} bytes are over the limit of {MAX_HEADER_BYTES}")
        if self._check_host:
            check_host(RequestHeaders(scope["headers"]), self._allowed)


def _fastapi(kit: Kit) -> FastAPI:
    app = FastAPI(title="ModelMuxer", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.kit, app.state.peers = kit, Peers(kit.bus)
    parts = (health, models, embeddings, batches, files, decisions, analytics, reports, admin, pii)
    for part in parts:
        app.include_router(part.router)
    app.state.declared = [route for part in parts for route in part.router.routes]
    live = Live(lambda heard: kit.bus.listen(LIVE, heard), lambda: kit.draining)
    app.routes.extend(dashboard_routes(kit.sessions, kit.keys.of_secret, kit.keys.of_digest, live))
    app.add_exception_handler(MuxError, _mux_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ClientGone, _gone)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _fault)
    return app


async def _mux_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, MuxError)
    return Refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:200]
    words = {
        404: f"{path}: no such path; the messages are at POST /v1/messages",
        405: f"{path}: {request.method} is not allowed here",
    }
    detail = words.get(error.status_code, str(error.detail))
    headers = {"allow": _methods(request)} if error.status_code == 405 else None
    return Refusal(HttpFault(error.status_code, detail, headers))


def _methods(request: Request) -> str:
    """What a path takes: several routes may have it, each with methods of its own."""
    app = request.app
    found = {
        method
        for route in (*app.routes, *app.state.declared)
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    return ", ".join(sorted(found))


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return Refusal(InvalidRequest(f"{field}: {first['msg']}"))


async def _gone(request: Request, error: Exception) -> Response:
    """The client left in the middle of its body: nobody is there to be told."""
    return Response(status_code=499)


async def _fault(request: Request, error: Exception) -> Response:
    """The server logs what it was: Starlette raises it again once this is sent."""
    request_id = new_request_id()
    log.error("%s failed", request_id)
    return Refusal(Fault(), request_id)


class Refusal(Response):
    """An error as a FastAPI response, rendered by the one place that renders errors."""

    def __init__(self, error: MuxError, request_id: str = "") -> None:
        super().__init__()
        self._error, self._id = error, request_id or new_request_id()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(send, door_of(scope["path"]), self._error, self._id)


def _secured(send: Send, reading: Reading, most: int) -> Send:
    """The security headers on every answer; what an endpoint set itself stays. A client that
    is still sending its body is let finish, so that it can read a refusal."""

    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] >= 400 and message["status"] != TOO_SLOW and reading.left:
                await discard_body(reading, most)
            headers = list(message["headers"])
            names = {name for name, _ in headers}
            message["headers"] = headers + [h for h in SECURITY_HEADERS if h[0] not in names]
        await send(message)

    return secured


def _with_hsts(send: Send) -> Send:
    async def with_hsts(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], HSTS]
        await send(message)

    return with_hsts

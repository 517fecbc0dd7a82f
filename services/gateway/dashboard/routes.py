"""The routes under /dashboard. Everything else that the page shows comes from the same JSON
routes that any client may call; the session cookie stands for the key there."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from libs.common.contracts.identity import Key
from libs.common.errors import Forbidden, InvalidRequest, Unauthenticated
from services.gateway.body import UNREADABLE
from services.gateway.dashboard.live import Live
from services.gateway.dashboard.session import CSRF_HEADER, Sessions, set_cookie, token_of
from services.gateway.http import RequestHeaders, read_body

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
PAGE_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
MAX_LOGIN, LOGIN_SECONDS = 4096, 10.0
WRONG_KEY_SECONDS = 0.5

FindKey = Callable[[str], Awaitable[Key]]


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str


def dashboard_routes(
    sessions: Sessions, key_of_secret: FindKey, key_of_digest: FindKey, live: Live
) -> list[Route]:
    """`key_of_secret` finds the key of an API key as a client sends it, `key_of_digest` that
    of its SHA-256; both raise Unauthenticated. MuxErrors are rendered by the application."""

    async def login(request: Request) -> Response:
        _same_origin(request)
        secret = (await _login_form(request)).key.strip()
        try:
            key = await key_of_secret(secret)
        except Unauthenticated:
            await asyncio.sleep(WRONG_KEY_SECONDS)
            raise
        session = sessions.open(secret)
        answer = JSONResponse({"csrf": session.csrf, "key": shown(key)}, headers=_private())
        answer.headers.append("set-cookie", _cookie(request, session.token))
        return answer

    async def resume(request: Request) -> Response:
        """Who is logged in, and the CSRF token again after a reload."""
        sha, session = sessions.read(token_of(request.headers.get("cookie", "")))
        key = await key_of_digest(sha)
        return JSONResponse({"csrf": session.csrf, "key": shown(key)}, headers=_private())

    async def logout(request: Request) -> Response:
        sessions.of_request("POST", *_credentials(request))
        answer = JSONResponse({"logged_out": True}, headers=_private())
        answer.headers.append("set-cookie", _cookie(request, ""))
        return answer

    async def events(request: Request) -> Response:
        sha, _ = sessions.read(token_of(request.headers.get("cookie", "")))
        stream = await live.events(partial(key_of_digest, sha))
        headers = _private() | {"x-accel-buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    return [
        Route("/dashboard/login", login, methods=["POST"]),
        Route("/dashboard/logout", logout, methods=["POST"]),
        Route("/dashboard/session", resume, methods=["GET"]),
        Route("/dashboard/events", events, methods=["GET"]),
        Route("/dashboard/", RedirectResponse("/dashboard", 308)),
        *(_static(file) for file in sorted(STATIC.iterdir())),
    ]


def shown(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "org": key.org,
        "team": key.team,
        "user": key.user,
        "admin": key.admin,
    }


def _static(file: Path) -> Route:
    """One file, read once: the page at /dashboard, the rest beneath it."""
    body, kind = file.read_bytes(), TYPES[file.suffix]
    path = "/dashboard" if file.name == "index.html" else f"/dashboard/{file.name}"

    async def serve(request: Request) -> Response:
        return Response(body, media_type=kind, headers=PAGE_HEADERS)

    return Route(path, serve, methods=["GET"])


async def _login_form(request: Request) -> Login:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise InvalidRequest("content-type: send the key as JSON")
    headers = RequestHeaders(request.scope["headers"])
    body = await read_body(headers, request.receive, MAX_LOGIN, LOGIN_SECONDS)
    try:
        return msgspec.json.decode(body, type=Login)
    except (msgspec.ValidationError, *UNREADABLE):
        raise InvalidRequest('key: send {"key": "…"}') from None


def _same_origin(request: Request) -> None:
    """A browser says where a form comes from; another site may not log anybody in here."""
    origin = request.headers.get("origin")
    if origin and origin.partition("://")[2] != request.headers.get("host", ""):
        raise Forbidden("origin: the login is for the gateway's own page")


def _credentials(request: Request) -> tuple[str, str]:
    return request.headers.get("cookie", ""), request.headers.get(CSRF_HEADER, "")


def _cookie(request: Request, token: str) -> str:
    return set_cookie(token, 12 * 3600, secure=request.url.scheme == "https")


def _private() -> dict[str, str]:
    return {"cache-control": "no-store", "x-content-type-options": "nosniff"}

"""The routes under /dashboard, without a browser."""

from collections.abc import AsyncIterator
from functools import partial

import httpx
import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.common.contracts.identity import Key, Principal
from libs.common.contracts.reports import Written
from libs.common.contracts.usage import Usage
from libs.common.errors import BY_CODE, MuxError, Unauthenticated
from services.gateway.dashboard.live import Handler, Live
from services.gateway.dashboard.routes import dashboard_routes
from services.gateway.dashboard.session import COOKIE, Sessions

pytestmark = pytest.mark.anyio
KEY = Key(id="key_1", name="ann")


async def find(secret: str) -> Key:
    if secret not in ("sk-good", Sessions(b"s").read(Sessions(b"s").open("sk-good").token)[0]):
        raise Unauthenticated("this key is not known here")
    return KEY


async def known(key: Key) -> Key:
    return key


async def refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, MuxError)
    return JSONResponse({"code": error.code}, 401 if error.code == "unauthenticated" else 400)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async def listen(handler: Handler) -> None:
        pass

    live = Live(listen, lambda: True)
    routes = dashboard_routes(Sessions(b"s"), find, find, live)
    app = Starlette(routes=routes, exception_handlers={kind: refuse for kind in BY_CODE.values()})
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://mux") as client:
        yield client


async def test_the_page_loads_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    page = await http.get("/dashboard")
    assert page.headers["content-security-policy"].startswith("default-src 'self'; base-uri 'none'")
    assert "http://" not in page.text
    assert "https://" not in page.text
    for name in ("app.js", "style.css", "uplot.js", "uplot.LICENSE.txt", "icon.svg"):
        assert (await http.get(f"/dashboard/{name}")).status_code == 200


async def test_a_login_opens_a_session_and_a_logout_ends_it(http: httpx.AsyncClient) -> None:
    assert (await http.get("/dashboard/session")).status_code == 401
    found = await http.post("/dashboard/login", json={"key": "sk-good"})
    assert found.json()["key"]["name"] == "ann"
    assert "httponly" in found.headers["set-cookie"].lower()
    assert "sk-good" not in found.headers["set-cookie"]
    again = await http.get("/dashboard/session")
    assert again.json()["csrf"] == found.json()["csrf"]
    assert (await http.post("/dashboard/logout")).status_code == 400, "no token"
    token = {"x-modelmuxer-csrf": again.json()["csrf"]}
    assert (await http.post("/dashboard/logout", headers=token)).status_code == 200
    assert COOKIE not in http.cookies


@pytest.mark.parametrize(
    ("json", "headers"),
    [
        ({"key": 7}, {}),
        ({"key": "x", "more": 1}, {}),
        ({"key": "x" * 5000}, {}),
        ({"key": "sk-good"}, {"origin": "https://elsewhere.example"}),
        ({"key": "sk-good"}, {"content-type": "text/plain"}),
    ],
)
async def test_a_strange_login_is_refused(
    http: httpx.AsyncClient, json: object, headers: dict[str, str]
) -> None:
    assert (await http.post("/dashboard/login", json=json, headers=headers)).status_code == 400


async def test_each_page_hears_what_its_key_may_see() -> None:
    heard: list[Handler] = []

    async def listen(handler: Handler) -> None:
        heard.append(handler)

    live = Live(listen, lambda: False)
    keys = (KEY, Key(id="key_root", admin=True), Key(id="key_2", org="other", admin=True))
    pages = [await live.events(partial(known, key)) for key in keys]
    for page in pages:
        await anext(page)
    used = Usage(request_id="r", attempt=1, at=1.0, principal=Principal(key_id="key_1"))
    other = msgspec.structs.replace(used, request_id="s", principal=Principal(key_id="key_9"))
    await heard[0](Written(used=(other, used)))
    assert len(heard) == 1
    assert b'"request_id":"r"' in await anext(pages[0])
    assert b'"request_id":"s"' in await anext(pages[1])
    for page in pages:
        await page.aclose()  # type: ignore[attr-defined]


async def test_streams_end_when_the_gateway_stops(http: httpx.AsyncClient) -> None:
    await http.post("/dashboard/login", json={"key": "sk-good"})
    answer = await http.get("/dashboard/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text == "retry: 1000\n\n"


async def test_a_stream_ends_with_its_key() -> None:
    keys = [KEY]

    async def listen(handler: Handler) -> None:
        pass

    async def find_again() -> Key:
        if not keys:
            raise Unauthenticated("revoked")
        return keys[0]

    page = await Live(listen, lambda: False, beat=0.0).events(find_again)
    assert await anext(page) == b"retry: 1000\n\n"
    assert await anext(page) == b": still here\n\n"
    keys.clear()
    assert [event async for event in page] == []

"""The stand-in as an HTTP server in the test's own loop."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial

from aiohttp import web

from tests.support.provider.answers import new_id
from tests.support.provider.calls import Call
from tests.support.provider.exchange import Exchange, foreign_error, refusal
from tests.support.provider.routes import find
from tests.support.provider.scene import from_marker
from tests.support.provider.state import KEY, Provider
from tests.support.provider.strict import Refused

MAX_BODY = 32 * 1024 * 1024


async def handle(provider: Provider, request: web.BaseRequest) -> web.StreamResponse:
    """Record, answer, and note how it ended."""
    if request.path.startswith("/__stand_in/"):
        return await control(provider, request)
    call = _record(request, len(provider.calls))
    provider.calls.append(call)
    exchange = Exchange(request, call)
    try:
        call.body = await request.content.read()
        answer = await _answer(provider, exchange)
    except (asyncio.CancelledError, ConnectionError):
        call.end("gone")
        raise
    call.status = call.status or answer.status
    if call.outcome == "open":
        call.end("complete" if call.status < 400 else "refused")
    return answer


async def _answer(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    try:
        if len(exchange.call.body) > MAX_BODY:
            raise Refused(413, "Request exceeds the maximum size")
        if wrong := key_fault(provider, exchange):
            return wrong
        return await find(exchange.call.method, exchange.call.path)(provider, exchange)
    except Refused as refused:
        exchange.call.why = refused.message
        return refusal(exchange, refused)
    except ValueError as error:
        exchange.call.why = str(error)
        return refusal(exchange, Refused(400, str(error)))


def key_fault(provider: Provider, exchange: Exchange) -> web.Response | None:
    """What a key gets that a test has named; one that is taken stands for the usual one."""
    call = exchange.call
    status = provider.keys.get(call.credential, 0)
    if status >= 400:
        call.why = words = f"This key gets {status}."
        if not call.path.startswith("/v1/"):
            return foreign_error(exchange, status, words)
        return refusal(exchange, Refused(status, words))
    for name in ("x-api-key", "x-goog-api-key", "authorization"):
        if status and name in exchange.header:
            given = exchange.header[name]
            exchange.header[name] = given.replace(call.credential, provider.key)
    return None


def _record(request: web.BaseRequest, number: int) -> Call:
    path, _, query = request.raw_path.partition("?")
    headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in request.raw_headers]
    call = Call(number, request.method, path, query, headers)
    call.request_id = new_id("req")
    return call


async def control(provider: Provider, request: web.BaseRequest) -> web.Response:
    """The bill and the log for whoever is outside of this process."""
    match request.method, request.path.removeprefix("/__stand_in/"):
        case "GET", "bill":
            lines = [vars(line) | {"used": vars(line.used)} for line in provider.bill.lines]
            return web.json_response({"total": provider.bill.total, "lines": lines})
        case "GET", "calls":
            return web.json_response([call.described() for call in provider.calls])
        case "POST", "reset":
            provider.reset()
            return web.json_response({})
        case "POST", "script":
            marks = json.loads(await request.content.read())
            provider.script(*(from_marker(mark, 0) for mark in marks))
            return web.json_response({})
    return web.json_response({"error": "bill, calls, reset or script"}, status=404)


@contextlib.asynccontextmanager
async def running(port: int = 0, key: str = KEY) -> AsyncIterator[Provider]:
    """A stand-in on a port of 127.0.0.1, for as long as the context is open."""
    provider = Provider(key)
    server = web.Server(partial(handle, provider), handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=1024)
    await site.start()
    provider.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()

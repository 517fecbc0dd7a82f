"""One request at the stand-in, and the answers every dialect of it shares."""

import asyncio
import gzip
import json
import time
from typing import Any

from aiohttp import web

from tests.support.provider.bill import Used
from tests.support.provider.calls import Call
from tests.support.provider.scene import Scene
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused

Json = dict[str, Any]
KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
HTML = "<html><head><title>{0}</title></head><body><h1>{0} Bad Gateway</h1></body></html>"


class Exchange:
    """One request and the means to answer it."""

    def __init__(self, request: web.BaseRequest, call: Call) -> None:
        self.request, self.call = request, call
        self.header = {n.lower(): call.header(n) for n, _ in call.headers}
        self.query = dict(request.query)

    @property
    def body(self) -> Any:
        try:
            return json.loads(self.call.body)
        except ValueError as error:
            raise Refused(400, f"The request body is not valid JSON: {error}") from None

    def break_off(self) -> None:
        """Close the connection without a word."""
        if self.request.transport:
            self.request.transport.abort()


def usual_headers(call: Call) -> dict[str, str]:
    """What every answer of the provider carries."""
    reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    headers = {"request-id": call.request_id, "anthropic-organization-id": "org-stand-in"}
    for kind, limit in (("requests", 4000), ("input-tokens", 2_000_000), ("tokens", 2_400_000)):
        headers[f"anthropic-ratelimit-{kind}-limit"] = str(limit)
        headers[f"anthropic-ratelimit-{kind}-remaining"] = str(limit - 1)
        headers[f"anthropic-ratelimit-{kind}-reset"] = reset
    return headers


def plain(exchange: Exchange, body: object, *, zipped: bool = False, **more: str) -> web.Response:
    """A JSON answer, recorded as sent."""
    data = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")
    exchange.call.sent = data
    headers = usual_headers(exchange.call) | {"content-type": "application/json"} | more
    if zipped and "gzip" in exchange.header.get("accept-encoding", ""):
        return web.Response(
            body=gzip.compress(data), headers=headers | {"content-encoding": "gzip"}
        )
    return web.Response(body=data, headers=headers)


def refusal(exchange: Exchange, refused: Refused, headers: Json | None = None) -> web.Response:
    kind = refused.kind or KINDS.get(refused.status, "api_error")
    error: Json = {"type": kind, "message": refused.message}
    if refused.details:
        error["details"] = refused.details
    body = {"type": "error", "error": error, "request_id": exchange.call.request_id}
    answer = plain(exchange, body, **(headers or {}))
    answer.set_status(refused.status)
    return answer


def scripted_error(exchange: Exchange, scene: Scene) -> web.Response:
    """The HTTP error a scene asks for."""
    exchange.call.why = "scripted"
    if scene.html:
        return web.Response(
            status=scene.status, text=HTML.format(scene.status), content_type="text/html"
        )
    if scene.empty:
        return web.Response(status=scene.status)
    text = scene.message or f"The stand-in was told to answer {scene.status}."
    refused = Refused(scene.status, text, scene.error_type, scene.details)
    return refusal(exchange, refused, scene.headers)


def pieces(text: str, count: int) -> list[str]:
    step = max(1, -(-len(text) // max(1, count)))
    return [text[at : at + step] for at in range(0, len(text), step)]


def foreign_plain(exchange: Exchange, body: Json) -> web.Response:
    """A JSON answer of another provider."""
    exchange.call.sent = json.dumps(body, ensure_ascii=False).encode()
    headers = {"content-type": "application/json", "x-request-id": exchange.call.request_id}
    return web.Response(body=exchange.call.sent, headers=headers)


def foreign_error(
    exchange: Exchange, status: int, message: str, scene: Scene | None = None
) -> web.Response:
    """An error as OpenAI, Mistral and Gemini put it (each reads what it knows)."""
    if scene and (scene.html or scene.empty):
        return scripted_error(exchange, scene)
    text = message or f"The stand-in was told to answer {status}."
    kind = {429: "rate_limit_exceeded", 401: "invalid_api_key"}.get(status, "invalid_request_error")
    error = {"message": text, "type": kind, "code": kind, "param": None, "status": "FAILED"}
    answer = foreign_plain(exchange, {"error": error})
    answer.set_status(status)
    answer.headers.update(scene.headers if scene else {})
    return answer


async def streamed(
    provider: Provider,
    exchange: Exchange,
    scene: Scene,
    events: list[tuple[bytes, bool]],
    used: Used,
) -> web.StreamResponse:
    """Events with whether they are content; faults and cuts as the scene wants them."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    response.enable_chunked_encoding()
    await response.prepare(exchange.request)
    exchange.call.status = 200
    seen, complete = 0, False
    try:
        for data, content in events:
            if content and scene.fault and seen == scene.at:
                if scene.fault == "hang":
                    await asyncio.sleep(3600)
                if scene.fault == "drop":
                    await asyncio.sleep(0.02)
                    exchange.break_off()
                exchange.call.end("broken")
                return response
            seen += content
            step = scene.cut or len(data)
            for at in range(0, len(data), step):
                exchange.call.sent += data[at : at + step]
                await response.write(data[at : at + step])
                await asyncio.sleep(0)
            await asyncio.sleep(scene.delay)
        complete = True
    finally:
        body = exchange.body
        model = body.get("model") or exchange.call.path.rpartition("/")[2].partition(":")[0]
        named = {"model": scene.model or model, "id": exchange.call.request_id}
        provider.charge(exchange.call, named, used, complete)
    await response.write_eof()
    return response

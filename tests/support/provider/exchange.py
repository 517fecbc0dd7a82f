"""One request at the stand-in, and the answers every dialect of it shares."""

import gzip
import json
import time
from typing import Any

from aiohttp import web

from tests.support.provider.calls import Call
from tests.support.provider.scene import Scene
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

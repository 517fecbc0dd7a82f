"""Requests that go to Anthropic as they are: batches, files. Headers in, answer out."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from libs.common.errors import NotFound
from services.gateway.deployments import Target
from services.gateway.errors import Headers, HttpFault, Relayed
from services.gateway.headers import request_headers, response_headers
from services.gateway.http import Passing, RequestHeaders
from services.gateway.kit import Kit
from services.gateway.providers import DIALECTS
from services.gateway.providers.anthropic import own_error
from services.gateway.providers.text import load_object
from services.gateway.upstream import CallFailed, HttpReply, within

READ_SECONDS = 120.0


class Unanswered(HttpFault):
    """The provider may have got the request: what became of it is not known."""


def anthropic_target(kit: Kit, what: str) -> Target:
    """The first live deployment that speaks Anthropic's API. Raises NotFound."""
    for target in kit.deployments.targets.values():
        if target.deployment.dialect == "anthropic" and not target.deployment.simulated:
            return target
    raise NotFound(
        f"{what}: only Anthropic offers this, and no Anthropic provider is live here; "
        "set ANTHROPIC_API_KEY or [providers.anthropic]"
    )


async def forward(kit: Kit, request: Request, target: Target, body: bytes) -> HttpReply:
    """Send it on with the provider's credential. Raises Relayed for the provider's refusal,
    Unanswered or HttpFault where there is no answer."""
    dialect = DIALECTS["anthropic"]
    own = {**dialect.headers(target.credential, target.options), **target.headers}
    client = RequestHeaders(request.scope["headers"])
    headers = request_headers(client, own, None, native=True)
    sent_type = client.get(b"content-type")
    if sent_type:
        headers = [(k, v) for k, v in headers if k != b"content-type"]
        headers.append((b"content-type", sent_type.encode("latin-1")))
    query = f"?{request.url.query}" if request.url.query else ""
    try:
        reply = await kit.upstreams.send(
            f"{target.base_url}{request.url.path}{query}",
            headers,
            body,
            timeouts={"connect": 5.0, "read": READ_SECONDS},
            method=request.method,
        )
    except CallFailed as failure:
        fault = Unanswered if failure.sent else HttpFault
        raise fault(502, f"{target.deployment.provider}: {failure.detail}") from None
    if reply.status >= 400:
        raise await _refusal(reply)
    return reply


async def whole(reply: HttpReply) -> tuple[bytes, Headers]:
    try:
        body = await within(READ_SECONDS, reply.read, f"no whole answer in {READ_SECONDS:g} s")
    except CallFailed as failure:
        raise HttpFault(502, failure.detail) from None
    finally:
        await reply.close()
    return body, response_headers(reply.headers)


async def tree(
    reply: HttpReply, fault: type[HttpFault] = HttpFault
) -> tuple[dict[str, Any], Headers]:
    """An answer that must be a JSON object. Raises the fault."""
    try:
        body, headers = await whole(reply)
        return load_object(body), headers
    except HttpFault as error:
        raise fault(502, error.detail) from None
    except (ValueError, RecursionError):
        raise fault(502, "the provider answered in a form that cannot be read") from None


def entries(page: dict[str, Any]) -> list[dict[str, Any]]:
    """What a page of a list has."""
    data = page.get("data")
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def response(status: int, headers: Headers, body: bytes) -> Response:
    answer = Response(body, status)
    answer.raw_headers = [
        (b"content-length", str(len(body)).encode()),
        *[pair for pair in headers if pair[0] != b"content-length"],
    ]
    return answer


def streamed(kit: Kit, reply: HttpReply, body: AsyncIterator[bytes]) -> Response:
    """A body that may be large, passed on as it comes."""
    patience = kit.settings.gateway.timeouts.idle
    return Passing(body, reply.status, response_headers(reply.headers), patience)


async def lines(reply: HttpReply) -> AsyncIterator[bytes]:
    """The lines of a JSON Lines body, without their ends. Raises HttpFault for one that is cut:
    what it adds up to is not all."""
    rest = b""
    try:
        async for chunk in reply.chunks():
            *whole_lines, rest = (rest + chunk).split(b"\n")
            for line in whole_lines:
                if line.strip():
                    yield line
    except CallFailed as failure:
        raise HttpFault(502, failure.detail) from None
    if rest.strip():
        yield rest


async def chunks(reply: HttpReply) -> AsyncIterator[bytes]:
    try:
        async for chunk in reply.chunks():
            yield chunk
    finally:
        await reply.close()


async def _refusal(reply: HttpReply) -> Relayed:
    body, headers = await whole(reply)
    error = DIALECTS["anthropic"].error_of(reply.status, body)
    relayed = Relayed(error.status, headers, body, error.type, error.message)
    relayed.native = own_error(body) is not None
    return relayed

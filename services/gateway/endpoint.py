"""The message endpoints as plain ASGI: read, authenticate, answer, relay. No logic of routing
or money here; that is `pipeline.py`."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial

import msgspec

from libs.common.contracts.identity import Key
from libs.common.errors import InvalidRequest, MuxError, Paused
from libs.common.money import MICRO
from libs.common.telemetry import IN_FLIGHT, REQUESTS
from services.gateway.answers import keep
from services.gateway.auth import principal_of
from services.gateway.body import Body, Fields
from services.gateway.booking import cause_of, finish
from services.gateway.call import Call, Reply, client_request_id, new_request_id
from services.gateway.door import Door
from services.gateway.errors import Fault, Headers, Relayed, headers_of, status_of
from services.gateway.exchange import tell_exchange
from services.gateway.features import features_of
from services.gateway.headers import answer_headers, own_headers
from services.gateway.http import (
    JSON,
    ClientGone,
    Receive,
    RequestHeaders,
    Scope,
    Send,
    discard_body,
    leave,
    read_body,
    send_answer,
)
from services.gateway.kit import Kit
from services.gateway.output import finished
from services.gateway.pipeline import answer
from services.gateway.plan import check_routing
from services.gateway.relay import EventStream, relay
from services.gateway.report import report_refusal

log = logging.getLogger(__name__)
RETRY_HEADERS = (b"retry-after", b"x-should-retry")


class MessagesEndpoint:
    """POST of one door. `make_door` gives each request a door of its own."""

    def __init__(self, kit: Kit, make_door: Callable[[], Door]) -> None:
        self._kit, self._make_door = kit, make_door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = RequestHeaders(scope["headers"])
        door = self._make_door()
        request_id = new_request_id()
        call: Call | None = None
        IN_FLIGHT.inc()
        try:
            call = await self._read(scope, receive, headers, door, request_id)
            await self._answer(call, door, receive, send)
        except MuxError as error:
            if call and call.told:
                raise
            extra = own_headers(call, client_request_id(headers)) if call else _echo(headers)
            await refuse(send, door, error, request_id, extra)
        except ClientGone:
            await leave(scope)
        except Exception:  # raised on: the server logs what it was
            log.error("%s failed", request_id)
            if call is None or not call.told:
                await refuse(send, door, Fault(), request_id, _echo(headers))
            raise
        finally:
            IN_FLIGHT.dec()

    async def _read(
        self, scope: Scope, receive: Receive, headers: RequestHeaders, door: Door, request_id: str
    ) -> Call:
        settings = self._kit.settings.gateway
        try:
            key = await self._kit.keys.find(headers)
        except MuxError:
            await discard_body(receive, settings.max_body)
            raise
        try:
            raw = await read_body(headers, receive, settings.max_body, settings.timeouts.body)
        except MuxError:
            await discard_body(receive, 4 * settings.max_body)
            raise
        body = Body(door.canonical(raw, settings), settings)
        return call_of(self._kit, scope, headers, key, body, door.name, request_id)

    async def _answer(self, call: Call, door: Door, receive: Receive, send: Send) -> None:
        """Answer, unless the client leaves or an administrator stops it first."""
        main = asyncio.current_task()
        assert main
        self._kit.open_calls[call.id] = (call, main.cancel)
        watch = asyncio.create_task(_watch(receive, call, main), name="client")
        try:
            if call.stream:
                await self._stream(call, door, send)
            else:
                await self._whole(call, door, send)
        except asyncio.CancelledError:
            if not call.gone and not call.stopped:
                raise
            main.uncancel()
            if call.stopped and not call.told:
                raise Paused(call.stopped) from None
        finally:
            watch.cancel()
            del self._kit.open_calls[call.id]

    async def _whole(self, call: Call, door: Door, send: Send) -> None:
        reply = await answer(self._kit, call)
        broken = ""
        try:
            body = door.whole(await finished(self._kit, call, reply.body))
            head = heads(call, reply)
            call.told = True
            async with asyncio.timeout(self._kit.settings.gateway.timeouts.total):
                await send_answer(send, reply.status, head, body, [])
        except TimeoutError:
            broken = "client_gone"
            raise ClientGone from None
        except BaseException as error:
            broken = cause_of(error)
            raise
        finally:
            finish(self._kit, call, reply, broken=broken)
            keep(self._kit, call, reply, reply.body)
            tell_exchange(self._kit, call, reply.body)
        REQUESTS.labels(door.name, str(reply.status)).inc()

    async def _stream(self, call: Call, door: Door, send: Send) -> None:
        settings = self._kit.settings.gateway
        out = EventStream(send, door, settings.ping_every, lambda: own_headers(call))
        out.arm(settings.ping_after)
        try:
            try:
                reply = await answer(self._kit, call)
            except MuxError as error:
                if not out.started:
                    raise
                await out.fail(error, call.id)
            else:
                await relay(self._kit, call, reply, out, partial(heads, call, reply, stream=True))
            await out.end()
        except ClientGone:
            raise
        except BaseException as error:
            call.told = out.started
            if call.told and (call.stopped or not isinstance(error, asyncio.CancelledError)):
                await out.fail(Paused(call.stopped) if call.stopped else said(error), call.id)
                await out.end()
            raise
        finally:
            out.disarm()
        REQUESTS.labels(door.name, "200").inc()


async def refuse(
    send: Send, door: Door, error: MuxError, request_id: str, extra: Headers | None = None
) -> None:
    """An error as the answer: a provider's own words unwrapped, everything else in shape."""
    status, _, _ = status_of(error)
    headers: Headers = list(extra or ())
    if not any(name == b"x-modelmuxer-request-id" for name, _ in headers):
        headers.append((b"x-modelmuxer-request-id", request_id.encode()))
        if not isinstance(error, Fault):  # that is in the log already, by its id
            report_refusal(status, error, request_id)
    if isinstance(error, Relayed) and error.native and door.name == "messages":
        headers += _relayed(error)
        body = error.body
    else:
        headers += [JSON, (b"request-id", request_id.encode()), *headers_of(error)]
        if isinstance(error, Relayed):
            headers += [pair for pair in error.headers if pair[0] in RETRY_HEADERS]
        body = door.error_body(error, request_id)
    await send_answer(send, status, headers, body, [])
    REQUESTS.labels(door.name, str(status)).inc()


def said(error: BaseException) -> MuxError:
    """What the client hears of an error: of our own failures, only that there was one."""
    return error if isinstance(error, MuxError) else Fault()


def _echo(headers: RequestHeaders) -> Headers:
    client_id = client_request_id(headers)
    return [(b"x-request-id", client_id.encode())] if client_id else []


def _relayed(error: Relayed) -> Headers:
    headers = list(error.headers)
    if error.status in (401, 403) and not any(k == b"x-should-retry" for k, _ in headers):
        headers.append((b"x-should-retry", b"false"))
    return headers


def heads(call: Call, reply: Reply, stream: bool = False) -> Headers:
    """The provider's headers with ours beside them."""
    upstream = [(k, v) for k, v in reply.headers if not (stream and k == b"content-type")]
    if not stream and not any(k == b"content-type" for k, _ in upstream):
        upstream.append(JSON)
    if not any(k == b"request-id" for k, _ in upstream):
        upstream.append((b"request-id", call.id.encode()))
    client_id = client_request_id(call.headers)
    if client_id:
        upstream = [(k, v) for k, v in upstream if k != b"x-request-id"]
    return [*upstream, *own_headers(call, client_id), *answer_headers(call, reply)]


def call_of(
    kit: Kit, scope: Scope, headers: RequestHeaders, key: Key, body: Body, door: str, id: str
) -> Call:
    betas = [b.strip() for line in headers.all(b"anthropic-beta") for b in line.split(",")]
    hints = {
        "agent": headers.get(b"x-claude-code-agent-id"),
        "version": headers.get(b"anthropic-version"),
    }
    features = features_of(body, door=door, betas=[b for b in betas if b], headers=hints)
    return Call(
        id=id,
        door=door,
        key=key,
        principal=principal_of(key, headers, _user_id(body.fields)),
        headers=headers,
        body=body,
        features=features,
        routing=check_routing(key, headers.get(b"x-modelmuxer-routing")),
        fields=body.fields,
        query=scope.get("query_string", b"").decode("latin-1"),
        cap=_cap(headers.get(b"x-modelmuxer-max-cost-usd")),
    )


def _user_id(fields: Fields) -> str:
    if "metadata" not in fields:
        return ""
    with contextlib.suppress(msgspec.MsgspecError, AttributeError):
        return str(msgspec.json.decode(fields["metadata"]).get("user_id") or "")
    return ""


def _cap(value: str) -> int:
    """The most this request may cost, in micro-dollars; 0 for no cap."""
    if not value:
        return 0
    try:
        amount = Decimal(value)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount <= 1_000_000:
        raise InvalidRequest("x-modelmuxer-max-cost-usd: give US dollars above 0, such as 0.25")
    return max(1, int(amount * MICRO))


async def _watch(receive: Receive, call: Call, main: "asyncio.Task[object]") -> None:
    """Wait for the client to leave; then its call ends at once, streamed or not."""
    message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
    call.gone = True
    main.cancel()

"""Raw ASGI, the little of it that the hot path needs: read a body, send an answer.

FastAPI costs 0.3 ms of CPU per request (measured), so the message endpoints are plain ASGI
callables; everything else goes through FastAPI.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.responses import StreamingResponse

from libs.common.errors import InvalidRequest, TooLarge
from services.gateway.errors import Headers, HttpFault

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# What ends a connection at once, unsent bytes and all: an extension of the server's.
CUT = "modelmuxer.cut"
JSON = (b"content-type", b"application/json")
SSE = (b"content-type", b"text/event-stream; charset=utf-8")

SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-frame-options", b"DENY"),
    (b"cache-control", b"no-store"),
]


class ClientGone(Exception):
    """The client closed its connection before its request was complete, or reads nothing more."""


class RequestHeaders:
    """The request's headers, lower-case, repeated ones kept."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self.pairs = list(pairs)
        self._first: dict[bytes, bytes] = {}
        for name, value in self.pairs:
            self._first.setdefault(name, value)

    def get(self, name: bytes) -> str:
        """The first value of a header, or the empty text."""
        return self._first.get(name, b"").decode("latin-1").strip()

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for key, value in self.pairs if key == name]


async def read_body(headers: RequestHeaders, receive: Receive, limit: int, seconds: float) -> bytes:
    """The whole body. Raises TooLarge, HttpFault 408 and 415, ClientGone."""
    if headers.get(b"content-encoding") not in ("", "identity"):
        raise HttpFault(415, "content-encoding: send the body uncompressed")
    declared = headers.get(b"content-length")
    if declared and (not declared.isdigit() or int(declared) > limit):
        raise _too_large(limit)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, limit)
    except TimeoutError:
        raise HttpFault(408, f"the body did not arrive within {seconds:g} s") from None


async def _read(receive: Receive, limit: int) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    parts, size = [body], len(body)
    while message["type"] != "http.disconnect" and message.get("more_body"):
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
    if message["type"] == "http.disconnect":
        raise ClientGone
    return b"".join(parts)


class Reading:
    """A request's body as it is received; `left` until its end has been seen."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self.left = receive, True

    async def __call__(self) -> Message:
        message = await self._receive()
        self.left = bool(message.get("more_body"))
        return message


async def discard_body(receive: Receive, limit: int, seconds: float = 2.0) -> None:
    """Let the client finish sending, within reason, so that it can read our refusal."""
    size = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while size <= limit:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    return


def _too_large(limit: int) -> InvalidRequest | TooLarge:
    size = f"{limit // 1024**2} MB" if limit >= 1024**2 else f"{limit // 1024} KB"
    return TooLarge(f"the request body is over {size}; send less at once")


async def send_answer(
    send: Send, status: int, headers: Headers, body: bytes, extra: Headers
) -> None:
    """One whole answer with the security headers that every answer carries."""
    length = (b"content-length", str(len(body)).encode())
    pairs = [*headers, length, *extra, *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


class Passing(StreamingResponse):
    """A body that is passed on as it comes, with headers as they are. A client that reads nothing
    of it for `patience` seconds is cut off."""

    def __init__(
        self, body: AsyncIterator[bytes], status: int, headers: Headers, patience: float
    ) -> None:
        super().__init__(body, status)
        self.raw_headers, self._patience = headers, patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            try:
                async with asyncio.timeout(self._patience):
                    await send(message)
            except TimeoutError:
                await leave(scope)

        await super().__call__(scope, receive, sending)


async def leave(scope: Scope) -> None:
    """Cut off a client that reads nothing: closed in order, its connection would stay, and keep
    the gateway from stopping, until what waits for it is read."""
    if cut := scope.get("extensions", {}).get(CUT):
        cut["now"]()
        await asyncio.sleep(0)  # the server hears of it before it looks for the answer's end

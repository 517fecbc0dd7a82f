"""Each HTTP request is a part of its client's trace, or the beginning of one."""

from collections.abc import Awaitable, Callable

from libs.common.trace import PARENT, SERVER, STATE, Tracer, parsed
from services.gateway.http import Message, Receive, RequestHeaders, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Traced:
    """An ASGI application with a span around each request; nothing where no trace is on."""

    def __init__(self, app: Application, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        told = any(name == b"traceparent" for name, _ in scope["headers"])
        if not told and not self._tracer.on:
            return await self._app(scope, receive, send)
        headers = RequestHeaders(scope["headers"])
        parent = parsed(headers.get(PARENT.encode()), headers.get(STATE.encode()))
        name = f"{scope['method']} {scope['path']}"
        with self._tracer.inside(parent, name, SERVER) as span:

            async def sending(message: Message) -> None:
                if span and message["type"] == "http.response.start":
                    span.attributes = {"http.response.status_code": int(message["status"])}
                    span.error = str(message["status"]) if message["status"] >= 500 else ""
                await send(message)

            await self._app(scope, receive, sending)

"""uvicorn's HTTP protocol with bounds on the head of a request, which it does not have itself:
a client must send it within a time and a size, and garbage is refused in our shape."""

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.gateway.call import new_request_id
from services.gateway.errors import HttpFault, body_of
from services.gateway.http import CUT, JSON, SECURITY_HEADERS

MAX_HEAD = 128 * 1024


def bounded(head_seconds: float) -> type[asyncio.Protocol]:
    """The protocol with its patience, as uvicorn makes one for each connection."""

    class Protocol(BoundedProtocol):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, head_seconds=head_seconds, **named)

    return Protocol


class BoundedProtocol(HttpToolsProtocol):
    """One connection. `_head` is the timer of a head that has not come to its end."""

    def __init__(self, *arguments: Any, head_seconds: float, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._patience = head_seconds
        self._head: asyncio.TimerHandle | None = None
        self._size = 0
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._in_body:
            self._size += len(data)
            if self._head is None:
                self._await_head()
        super().data_received(data)
        # What came with the head may be body; only a head without an end grows beyond bounds.
        if not self._in_body and self._size > MAX_HEAD and not self.transport.is_closing():
            self._refuse(431, f"headers: over {MAX_HEAD // 1024} KB; send smaller ones")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {CUT: {"now": self.transport.abort}}

    def on_headers_complete(self) -> None:
        self._stop_waiting()
        self._in_body, self._size = True, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is no HTTP request that can be read")

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self._patience, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, f"headers: they did not arrive within {self._patience:g} s")

    def _refuse(self, status: int, words: str) -> None:
        body = msgspec.json.encode(body_of(HttpFault(status, words), new_request_id()))
        head = [STATUS_LINE[status], b"connection: close\r\n"]
        length = (b"content-length", str(len(body)).encode())
        head += [
            name + b": " + value + b"\r\n" for name, value in (JSON, length, *SECURITY_HEADERS)
        ]
        self.transport.write(b"".join([*head, b"\r\n", body]))
        self.transport.close()

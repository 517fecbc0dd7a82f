"""How a client speaks: its request to canonical form, our answers and errors to its own.

Anthropic's form is the canonical one, so its door changes nothing.
"""

from typing import Any, Protocol

import msgspec

from libs.common.errors import MuxError
from services.gateway.errors import body_of, event_of


class Door(Protocol):
    """One request's door; `feed` may keep state between the pieces of a stream."""

    @property
    def name(self) -> str: ...

    def canonical(self, raw: bytes) -> bytes: ...

    def feed(self, canonical: bytes) -> bytes: ...

    def close(self) -> bytes: ...

    def ping(self, event: bytes) -> bytes: ...

    def whole(self, canonical: bytes) -> bytes: ...

    def error_body(self, error: MuxError, request_id: str) -> bytes: ...

    def error_event(self, error: MuxError, request_id: str) -> bytes: ...


class MessagesDoor:
    """Anthropic Messages."""

    name = "messages"

    def canonical(self, raw: bytes) -> bytes:
        return raw

    def feed(self, canonical: bytes) -> bytes:
        return canonical

    def close(self) -> bytes:
        return b""

    def ping(self, event: bytes) -> bytes:
        return event

    def whole(self, canonical: bytes) -> bytes:
        return canonical

    def error_body(self, error: MuxError, request_id: str) -> bytes:
        body: dict[str, Any] = body_of(error, request_id)
        return msgspec.json.encode(body)

    def error_event(self, error: MuxError, request_id: str) -> bytes:
        return event_of(error, request_id)

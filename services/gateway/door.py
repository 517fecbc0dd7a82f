"""How a client speaks: its request to canonical form, our answers and errors to its own.

Anthropic's form is the canonical one, so its door changes nothing.
"""

from typing import Any, Protocol

import msgspec

from libs.common.errors import InvalidRequest, MuxError
from libs.common.settings.gateway import GatewaySettings
from services.gateway.body import FIELDS, UNREADABLE, unreadable
from services.gateway.bounds import check_bounds
from services.gateway.errors import body_of, event_of, status_of
from services.gateway.providers.events import GARBLED, failed
from services.gateway.providers.events import UNREADABLE as MISSHAPEN
from services.gateway.providers.text import dump, load


class Door(Protocol):
    """One request's door; `feed` may keep state between the pieces of a stream."""

    @property
    def name(self) -> str: ...

    def canonical(self, raw: bytes, settings: GatewaySettings) -> bytes: ...

    def feed(self, canonical: bytes) -> bytes: ...

    def close(self) -> bytes: ...

    def ping(self, event: bytes) -> bytes: ...

    def whole(self, canonical: bytes) -> bytes: ...

    def error_body(self, error: MuxError, request_id: str) -> bytes: ...

    def error_event(self, error: MuxError, request_id: str) -> bytes: ...


class MessagesDoor:
    """Anthropic Messages."""

    name = "messages"

    def canonical(self, raw: bytes, settings: GatewaySettings) -> bytes:
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


class OpenAIDoor:
    """Chat Completions or Responses: translated at the door, canonical behind it."""

    def __init__(self, name: str, dialect: Any) -> None:
        self.name, self._dialect = name, dialect
        self._body: dict[str, Any] = {}
        self._stream: Any = None

    def canonical(self, raw: bytes, settings: GatewaySettings) -> bytes:
        """Raises InvalidRequest naming the field."""
        try:
            fields = FIELDS.decode(raw)
            check_bounds(fields, bytes(fields.get("tools", b"")), settings)
            self._body = msgspec.json.decode(raw)
        except msgspec.ValidationError:
            raise InvalidRequest("the body must be a JSON object") from None
        except UNREADABLE as error:
            raise unreadable(error) from None
        return msgspec.json.encode(self._dialect.to_canonical(self._body))

    def feed(self, canonical: bytes) -> bytes:
        """Raises UpstreamFailed for events that are not in Anthropic's form."""
        try:
            return b"".join(self._streaming.feed(canonical))
        except MISSHAPEN:
            raise failed(GARBLED) from None

    def close(self) -> bytes:
        return b"".join(self._streaming.close())

    def ping(self, event: bytes) -> bytes:
        """OpenAI's streams know no ping event; a comment keeps the connection busy."""
        return b": ping\n\n"

    def whole(self, canonical: bytes) -> bytes:
        """Raises UpstreamFailed for an answer that is not in Anthropic's form."""
        try:
            return dump(self._dialect.from_canonical(load(canonical)))
        except MISSHAPEN:
            raise failed(GARBLED) from None

    def error_body(self, error: MuxError, request_id: str) -> bytes:
        status, kind, _ = status_of(error)
        body = body_of(error, request_id)["error"]
        shaped = self._dialect.render_error(status, kind, body["message"], body.get("details", {}))
        return msgspec.json.encode(shaped)

    def error_event(self, error: MuxError, request_id: str) -> bytes:
        return b"data: " + self.error_body(error, request_id) + b"\n\n"

    @property
    def _streaming(self) -> Any:
        if self._stream is None:
            self._stream = self._dialect.Stream(self._body)
        return self._stream

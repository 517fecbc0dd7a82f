"""Server-sent events as they pass: read what matters, never parse what does not.

Event shapes: docs.anthropic.com/en/docs/build-with-claude/streaming. Bytes are searched, not
parsed (a text delta costs under a microsecond); only events that hold usage, a signature, an
error or the end are decoded. A chunk may be cut anywhere.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from libs.common.contracts.usage import Tokens
from services.gateway.providers.anthropic import tokens as tokens_of

PING = b'event: ping\ndata: {"type": "ping"}\n\n'

# The first such field is the message's own: content comes after it.
MODEL = re.compile(rb'("model"\s{0,8}:\s{0,8})"[^"\\]{0,200}"')

# The bytes around the text of one text_delta event: what an estimate takes off.
DELTA_OVERHEAD = 117
BYTES_PER_TOKEN = 3
# Characters of a name, a reason, an id: what is longer is none.
LONGEST = 200
INTERESTING = (b'"usage"', b"signature_delta", b"message_stop", b"event: error", b'"type":"error"')
TELLING = (b'"usage"', b"signature_delta", b"message_stop", b'"error"')
CONTENT = (b"content_block_", b"message_delta", b"message_stop")


class Meter:
    """Watches one answer: usage by meaning (the last cumulative value of a field wins),
    whether content has begun, whether it ended well."""

    __slots__ = (
        "_events", "_parts", "_raw", "_size", "content", "ended", "error", "on_signature",
        "stop_reason", "message_id", "model",
    )  # fmt: skip

    def __init__(self, on_signature: Callable[[str], None] | None = None) -> None:
        self._raw: dict[str, Any] = {}
        self._parts: list[bytes] = []
        self._size = self._events = 0
        self.content = self.ended = False
        self.error: dict[str, Any] | None = None
        self.stop_reason = self.message_id = self.model = ""
        self.on_signature = on_signature

    @property
    def at_boundary(self) -> bool:
        """Nothing but whole events has passed."""
        return not self._parts

    @property
    def known(self) -> bool:
        """Usage has been told that can be believed, and that is no estimate."""
        return tokens_of(self._raw) is not None and not self._raw.get("estimated")

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        end = chunk.rfind(b"\n\n")
        end = end + 2 if end >= 0 else _crlf_end(chunk)
        if end < 0:
            self._parts.append(chunk)
            self._rejoined()
            return
        head = chunk[:end] if end < len(chunk) else chunk
        if self._parts:
            head = b"".join(self._parts) + head
            self._parts = []
        if end < len(chunk):
            self._parts.append(chunk[end:])
        self._take(head)

    def message(self, body: bytes) -> bool:
        """A whole answer instead of a stream; whether it is one."""
        try:
            body.decode()  # what is skipped is not looked at otherwise
            head = MESSAGE.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        self._size = len(body)
        self._merge(head.usage)
        self.content = self.ended = True
        self.message_id, self.model = _text(head.id), _text(head.model)
        self.stop_reason = _text(head.stop_reason)
        return True

    def tokens(self) -> Tokens:
        """What the provider told; nothing where that cannot be believed."""
        return tokens_of(self._raw) or Tokens()

    def estimated(self, input_tokens: int) -> Tokens:
        """What a broken answer consumed, as far as can be told: what the provider said, and
        the text that went by."""
        told = self.tokens()
        text = max(0, self._size - DELTA_OVERHEAD * self._events)
        output = max(told.output, -(-text // BYTES_PER_TOKEN) if self.content else 0)
        known = told.input + told.cache_read + told.cache_write_5m + told.cache_write_1h
        return msgspec.structs.replace(
            told, output=output, input=told.input if known else input_tokens
        )

    def _rejoined(self) -> None:
        """A chunk may end between the two line breaks of a boundary."""
        if len(self._parts) > 1 and self._parts[-1].startswith((b"\n", b"\r\n")):
            whole = b"".join(self._parts)
            self._parts = []
            if whole.endswith((b"\n\n", b"\r\n\r\n")):
                self._take(whole)
            else:
                self._parts.append(whole)

    def _take(self, events: bytes) -> None:
        self._events += events.count(b"content_block_delta") // 2
        if not self.content and any(mark in events for mark in CONTENT):
            self.content = True
        for mark in INTERESTING:
            if mark in events:
                self._read(events)
                return
        if not self._raw and b"message_start" in events:
            self._read(events)

    def _read(self, events: bytes) -> None:
        for line in events.splitlines():
            if line.startswith(b"data:") and any(mark in line for mark in TELLING):
                self._event(line[5:])

    def _event(self, data: bytes) -> None:
        try:
            event = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        match event.get("type"):
            case "message_start":
                message = _fields(event.get("message"))
                self._merge(message.get("usage"))
                self.message_id, self.model = _text(message.get("id")), _text(message.get("model"))
            case "message_delta":
                self._merge(event.get("usage"))
                self.stop_reason = _text(_fields(event.get("delta")).get("stop_reason"))
            case "message_stop":
                self.ended = True
            case "error":
                self.error = _fields(event.get("error"))
            case "content_block_delta":
                self._signature(_fields(event.get("delta")))

    def _signature(self, delta: dict[str, Any]) -> None:
        if self.on_signature and isinstance(delta.get("signature"), str):
            self.on_signature(delta["signature"])

    def _merge(self, usage: Any) -> None:
        told = _fields(usage).items()
        self._raw |= {name: value for name, value in told if value is not None}


def renamed(head: bytes, asked: str) -> bytes:
    """The head of an answer (message_start, or a whole message) under another model's name."""
    return MODEL.sub(lambda found: found[1] + msgspec.json.encode(asked), head, count=1)


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


class _Block(msgspec.Struct):
    type: str


class _Message(msgspec.Struct):
    content: list[_Block]
    id: Any = ""
    model: Any = ""
    stop_reason: Any = ""
    usage: Any = None


MESSAGE = msgspec.json.Decoder(_Message)


def _crlf_end(chunk: bytes) -> int:
    end = chunk.rfind(b"\r\n\r\n")
    return end + 4 if end >= 0 else -1

"""Canonical answers: messages, and their events in the order and shape Anthropic sends.

Source: docs.anthropic.com/en/api/messages-streaming. Block indices are contiguous, every block
starts and stops once, a tool's arguments are one run of `input_json_delta`, and every
`message_delta` carries the whole usage.
"""

import re
import secrets
from typing import Any

from libs.common.contracts.usage import Tokens
from libs.common.errors import UpstreamFailed
from services.gateway.providers.base import Json, ProviderError
from services.gateway.providers.text import dump, load
from services.gateway.signatures import sign

_ID = re.compile(r"^[A-Za-z0-9_-]{9,64}$")
_COUNTED = re.compile(r"[_-]\d{1,3}$")
_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")
CUT = ProviderError("api_error", "The provider ended the answer before it was complete.", 502)
GARBLED = ProviderError("api_error", "The provider sent something damaged: it cannot be read.", 502)
# What reading a stranger's JSON may raise.
UNREADABLE = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    OverflowError,
    RecursionError,
)
# What a refusal without words says, so that it is not taken for a broken answer.
DECLINED = "The provider declined to answer this request."
_PARTIAL = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}
# Used only when a provider reports no usage: characters a token of output stands for, at least.
_CHARS_PER_TOKEN = 3


class Garbled(UpstreamFailed):
    """An answer came that cannot be read: it may be billed all the same."""


def failed(error: ProviderError) -> UpstreamFailed:
    """A failure before any content, so that another candidate may be asked."""
    kind = Garbled if error is GARBLED else UpstreamFailed
    return kind(error.message, {"type": error.type, "status": error.status})


def message_id(upstream: object) -> str:
    """`msg_…` from the provider's own id, so that logs of both sides meet."""
    text = _NOT_ID.sub("", str(upstream or "")) or secrets.token_hex(12)
    return "msg_" + text.removeprefix("msg_").removeprefix("chatcmpl-").removeprefix("resp_")


def call_id(upstream: object) -> str:
    """A tool call's id that Anthropic accepts and no other turn has. Some servers count
    (`call_0`, `functions.bash:1`): such ids get a tail."""
    text = str(upstream or "")
    if _ID.match(text) and not _COUNTED.search(text):
        return text
    return f"{_NOT_ID.sub('_', text)[:40] or 'toolu'}_{secrets.token_hex(8)}"


def usage_json(tokens: Tokens, *, estimated: bool = False) -> Json:
    """Anthropic's usage object, complete: clients read fields without looking."""
    usage: Json = {
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }
    if tokens.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    if estimated:
        usage["estimated"] = True
    return usage


def message(
    upstream_id: object,
    model: str,
    content: list[Json],
    stop: str,
    tokens: Tokens | None,
    stop_sequence: str | None = None,
) -> Json:
    """`tokens` None: the provider told none that can be believed."""
    return {
        "id": message_id(upstream_id),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": stop_sequence,
        "usage": usage_json(tokens or Tokens(), estimated=tokens is None),
    }


def event(body: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (body["type"].encode(), dump(body))


def error_event(kind: str, text: str) -> bytes:
    return event({"type": "error", "error": {"type": kind, "message": text}})


class _Call:
    """A tool call whose arguments are still arriving."""

    def __init__(self, id: str, name: str) -> None:
        self.id, self.name = id, name
        self.parts: list[str] = []

    def complete(self) -> bool:
        try:
            return isinstance(load("".join(self.parts)), dict)
        except (ValueError, RecursionError):
            return False


class Writer:
    """Writes one answer as events; `take` hands over what is ready.

    Content that arrives while a tool call is still open waits until the call's arguments are a
    whole object: providers may interleave parallel calls, Anthropic's blocks follow each other.
    """

    def __init__(self, dialect: str, model: str, input_tokens: int) -> None:
        self.model = model
        self.started = self.has_content = self.ended = False
        self._dialect, self._input = dialect, input_tokens
        self._out: list[bytes] = []
        self._index, self._kind, self._head = -1, "", b""
        self._signature = ""
        self._calls: dict[Any, _Call] = {}
        self._open: _Call | None = None
        self._waiting: list[_Call | tuple[str, str]] = []
        self._chars = 0

    def take(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    def start(self, upstream_id: object = "") -> None:
        if self.started:
            return
        self.started = True
        start = message(upstream_id, self.model, [], "", Tokens(input=self._input))
        start["stop_reason"] = None
        self._out.append(event({"type": "message_start", "message": start}))

    def text(self, text: str) -> None:
        self._say("text", text)

    def thinking(self, text: str) -> None:
        self._say("thinking", text)

    def signature(self, payload: str) -> None:
        """What the provider wants back with the thinking just written, or with none."""
        if self._kind != "thinking":
            self._start_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        self._signature = payload

    def end_thinking(self) -> None:
        """The next thinking is a block of its own, with a signature of its own."""
        if self._kind == "thinking":
            self._stop_block()

    def call(self, key: object, upstream_id: object, name: str) -> None:
        """A tool call starts; `key` is what its arguments come under."""
        if key in self._calls:
            return
        call = self._calls[key] = _Call(call_id(upstream_id), name)
        self._waiting.append(call)
        self._advance()

    def knows(self, key: object) -> bool:
        return key in self._calls

    def has_arguments(self, key: object) -> bool:
        return key in self._calls and bool(self._calls[key].parts)

    def arguments(self, key: object, text: str) -> None:
        call = self._calls.get(key)
        if call is None or not text:
            return
        call.parts.append(text)
        if call is self._open:
            self._json(text)
            if self._waiting:
                self._advance()

    def finish(self, stop: str, tokens: Tokens | None, stop_sequence: str | None = None) -> None:
        """The end of the message. Without the provider's usage it is estimated: never zero."""
        if self.ended:
            return
        self.start()
        self._flush()
        if stop == "refusal" and not self.has_content:
            self._delta("text", DECLINED)
            self._stop_block()
        self.ended = True
        written = -(-self._chars // _CHARS_PER_TOKEN)
        used = tokens or Tokens(input=self._input, output=written)
        delta = {"stop_reason": stop, "stop_sequence": stop_sequence}
        usage = usage_json(used, estimated=tokens is None)
        self._out.append(event({"type": "message_delta", "delta": delta, "usage": usage}))
        self._out.append(event({"type": "message_stop"}))

    def fail(self, error: ProviderError) -> None:
        """The provider broke off: after content an event, before it UpstreamFailed, so that
        another candidate may be asked."""
        if self.ended:
            return
        self.ended = True
        if not self.has_content:
            raise failed(error)
        self._out.append(error_event(error.type, error.message))

    @property
    def called(self) -> bool:
        return bool(self._calls)

    def _say(self, kind: str, text: str) -> None:
        if not text:
            return
        if self._open and (self._waiting or not self._open.complete()):
            self._waiting.append((kind, text))
        else:
            self._delta(kind, text)

    def _flush(self) -> None:
        while self._waiting:
            self._next()
        self._stop_block()

    def _advance(self) -> None:
        while self._waiting and (self._open is None or self._open.complete()):
            self._next()

    def _next(self) -> None:
        item = self._waiting.pop(0)
        if isinstance(item, tuple):
            self._delta(*item)
            return
        block = {"type": "tool_use", "id": item.id, "name": item.name, "input": {}}
        self._start_block("tool_use", block)
        self._open = item
        self._head = self._delta_head("input_json_delta", "partial_json")
        for part in item.parts:
            self._json(part)

    def _json(self, text: str) -> None:
        self._chars += len(text)
        self._out.append(b"%b%b}}\n\n" % (self._head, dump(text)))

    def _delta(self, kind: str, text: str) -> None:
        if self._kind != kind:
            blank: Json = {"type": kind, kind: ""}
            if kind == "thinking":
                blank["signature"] = ""
            self._start_block(kind, blank)
            self._head = self._delta_head(*_PARTIAL[kind])
        self._chars += len(text)
        self._out.append(b"%b%b}}\n\n" % (self._head, dump(text)))

    def _delta_head(self, delta: str, field: str) -> bytes:
        return (
            "event: content_block_delta\n"
            f'data: {{"type":"content_block_delta","index":{self._index},'
            f'"delta":{{"type":"{delta}","{field}":'
        ).encode()

    def _start_block(self, kind: str, block: Json) -> None:
        self.start()
        self._stop_block()
        self._index += 1
        self._kind, self.has_content = kind, True
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        self._out.append(event(start))

    def _stop_block(self) -> None:
        if not self._kind:
            return
        if self._kind == "thinking":
            # A block without a signature is refused when it comes back.
            signature = sign(self._dialect, self.model, self._signature)
            delta = {"type": "signature_delta", "signature": signature}
            self._out.append(
                event({"type": "content_block_delta", "index": self._index, "delta": delta})
            )
        elif self._open and not self._open.parts:
            self._json("{}")
        self._kind, self._signature, self._open = "", "", None
        self._out.append(event({"type": "content_block_stop", "index": self._index}))


def replay(answer: Json) -> list[bytes]:
    """A whole message as events: for a provider that answered a stream request at once."""
    start = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
    out = [event({"type": "message_start", "message": start})]
    for index, block in enumerate(answer.get("content") or []):
        blank, deltas = _split(block)
        out.append(event({"type": "content_block_start", "index": index, "content_block": blank}))
        out += [
            event({"type": "content_block_delta", "index": index, "delta": delta})
            for delta in deltas
        ]
        out.append(event({"type": "content_block_stop", "index": index}))
    end = {name: answer.get(name) for name in ("stop_reason", "stop_sequence")}
    out.append(event({"type": "message_delta", "delta": end, "usage": answer.get("usage") or {}}))
    out.append(event({"type": "message_stop"}))
    return out


def _split(block: Json) -> tuple[Json, list[Json]]:
    """A block as its start and its deltas."""
    kind = block.get("type")
    if kind == "text":
        deltas = [{"type": "text_delta", "text": block.get("text", "")}]
        deltas += [
            {"type": "citations_delta", "citation": each} for each in block.get("citations") or []
        ]
        return {"type": "text", "text": ""}, deltas
    if kind == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}, [
            {"type": "thinking_delta", "thinking": block.get("thinking", "")},
            {"type": "signature_delta", "signature": block.get("signature", "")},
        ]
    if kind in ("tool_use", "server_tool_use"):
        text = dump(block.get("input") or {}).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return block, []

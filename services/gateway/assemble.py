"""A stream's events put together into one message, and a message taken apart into events."""

from collections.abc import Iterator
from typing import Any

import msgspec

from services.gateway.providers.events import UNREADABLE

TEXT_PER_DELTA = 200
TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def message_of(events: bytes) -> dict[str, Any] | None:
    """The message that a complete stream told, or None if it is not complete, or no message."""
    told = _Told()
    try:
        for event in _events(events):
            told.take(event)
        return told.message()
    except UNREADABLE:
        return None


class _Told:
    """What the events have told so far."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}
        self._ended = False

    def take(self, event: dict[str, Any]) -> None:
        match event.get("type"):
            case "message_start":
                self._message = dict(event["message"])
            case "content_block_start":
                self._blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta":
                inputs = self._inputs.setdefault(event["index"], [])
                _add(self._blocks.setdefault(event["index"], {}), event["delta"], inputs)
            case "message_delta":
                self._message |= event.get("delta") or {}
                usage = self._message.get("usage") or {}
                self._message["usage"] = usage | (event.get("usage") or {})
            case "message_stop":
                self._ended = True

    def message(self) -> dict[str, Any] | None:
        if not self._message or not self._ended:
            return None
        for index, parts in self._inputs.items():
            if parts:
                self._blocks[index]["input"] = msgspec.json.decode("".join(parts))
        return {**self._message, "content": [self._blocks[i] for i in sorted(self._blocks)]}


def events_of(message: dict[str, Any]) -> bytes:
    """A message as the stream that would have told it."""
    usage = message.get("usage") or {}
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None}
    parts = [_event("message_start", message=start)]
    for index, block in enumerate(message.get("content") or []):
        parts.append(_event("content_block_start", index=index, content_block=_empty(block)))
        for delta in _deltas(block):
            parts.append(_event("content_block_delta", index=index, delta=delta))
        parts.append(_event("content_block_stop", index=index))
    stop = {name: message.get(name) for name in ("stop_reason", "stop_sequence")}
    parts.append(_event("message_delta", delta=stop, usage=usage))
    parts.append(_event("message_stop"))
    return b"".join(parts)


def _events(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.splitlines():
        if line.startswith(b"data:"):
            event = msgspec.json.decode(line[5:])
            if isinstance(event, dict):
                yield event


def _add(block: dict[str, Any], delta: dict[str, Any], inputs: list[str]) -> None:
    kind = str(delta.get("type"))
    if name := TEXTS.get(kind):
        block[name] = str(block.get(name) or "") + str(delta.get(name) or "")
    elif kind == "input_json_delta":
        inputs.append(str(delta.get("partial_json") or ""))
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta.get("citation")]


def _empty(block: dict[str, Any]) -> dict[str, Any]:
    match block.get("type"):
        case "text":
            return {**block, "text": ""}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use":
            return {**block, "input": {}}
    return block


def _deltas(block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    match block.get("type"):
        case "text":
            for part in _pieces(str(block.get("text") or "")):
                yield {"type": "text_delta", "text": part}
        case "thinking":
            for part in _pieces(str(block.get("thinking") or "")):
                yield {"type": "thinking_delta", "thinking": part}
            if signature := block.get("signature"):
                yield {"type": "signature_delta", "signature": signature}
        case "tool_use" | "server_tool_use":
            text = msgspec.json.encode(block.get("input") or {}).decode()
            yield {"type": "input_json_delta", "partial_json": text}


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), TEXT_PER_DELTA):
        yield text[start : start + TEXT_PER_DELTA]


def _event(kind: str, **fields: Any) -> bytes:
    data = msgspec.json.encode({"type": kind, **fields})
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)

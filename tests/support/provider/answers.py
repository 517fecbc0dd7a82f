"""Answers of the Messages API: the whole message, and the same as a stream of events."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tests.support.provider.bill import Used
from tests.support.provider.caching import size
from tests.support.provider.scene import Part, Redacted, Scene, Search, Text, Think, Use
from tests.support.provider.seal import seal, sign

Json = dict[str, Any]


@dataclass(frozen=True)
class Frame:
    """One event of a stream. `tokens` is the output produced so far, `content` whether it is a
    content delta."""

    data: bytes
    tokens: int
    content: bool = False


def new_id(prefix: str) -> str:
    return f"{prefix}_01{secrets.token_hex(11)}"


def message(body: Json, scene: Scene, used: Used) -> tuple[Json, Used]:
    """The answer of a scene to a request, and what it used with its output."""
    content = [block for part in scene.parts for block in _blocks(part)]
    _shorten(content, body["max_tokens"])
    searches = sum(isinstance(part, Search) for part in scene.parts)
    used = replace(used, output=sum(size(block) for block in content), searches=searches)
    used = replace(used, **scene.usage)
    tools = any(block["type"] == "tool_use" for block in content)
    return {
        "id": new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": scene.model or body["model"],
        "content": content,
        "stop_reason": scene.stop or ("tool_use" if tools else "end_turn"),
        "stop_sequence": scene.stop_sequence or None,
        "usage": usage(used),
    }, used


def usage(used: Used) -> Json:
    """Usage in full, as a whole message and `message_start` have it."""
    return {
        "input_tokens": used.input,
        "cache_creation_input_tokens": used.write_5m + used.write_1h,
        "cache_read_input_tokens": used.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": used.write_5m,
            "ephemeral_1h_input_tokens": used.write_1h,
        },
        "output_tokens": used.output,
        "server_tool_use": {"web_search_requests": used.searches} if used.searches else None,
        "service_tier": "standard",
    }


def frames(answer: Json, scene: Scene, used: Used) -> list[Frame]:
    """The stream of a message, event by event."""
    return list(_frames(answer, scene, used))


def error_frame(kind: str, text: str) -> bytes:
    return frame("error", {"type": "error", "error": {"type": kind, "message": text}})


def frame(name: str, data: Json) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def _frames(answer: Json, scene: Scene, used: Used) -> Iterator[Frame]:
    opening = answer | {"content": [], "stop_reason": None, "stop_sequence": None}
    opening["usage"] = usage(replace(used, output=1, searches=0))
    yield Frame(frame("message_start", {"type": "message_start", "message": opening}), 1)
    if scene.pings:
        yield Frame(frame("ping", {"type": "ping"}), 1)
    total = 0
    for index, block in enumerate(answer["content"]):
        yield from _block_frames(index, block, scene, total)
        total += size(block)
    if scene.unknown:
        yield Frame(frame("weather_report", {"type": "weather_report", "sky": "clear"}), total)
    closing = usage(used)
    del closing["cache_creation"], closing["service_tier"]
    delta = {"stop_reason": answer["stop_reason"], "stop_sequence": answer["stop_sequence"]}
    end = {"type": "message_delta", "delta": delta, "usage": closing}
    yield Frame(frame("message_delta", end), used.output)
    yield Frame(frame("message_stop", {"type": "message_stop"}), used.output)


def _block_frames(index: int, block: Json, scene: Scene, before: int) -> Iterator[Frame]:
    start = {"type": "content_block_start", "index": index, "content_block": _opened(block)}
    yield Frame(frame("content_block_start", start), before)
    deltas = list(_deltas(block, scene.deltas))
    for number, delta in enumerate(deltas, 1):
        made = before + size(block) * number // len(deltas)
        data = {"type": "content_block_delta", "index": index, "delta": delta}
        yield Frame(frame("content_block_delta", data), made, content=True)
        if scene.pings:
            yield Frame(frame("ping", {"type": "ping"}), made)
    stop = {"type": "content_block_stop", "index": index}
    yield Frame(frame("content_block_stop", stop), before + size(block))


def _opened(block: Json) -> Json:
    match block["type"]:
        case "text":
            return {"type": "text", "text": ""}
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use":
            return block | {"input": {}}
        case _:
            return block


def _deltas(block: Json, pieces: int) -> Iterator[Json]:
    match block["type"]:
        case "text":
            yield from ({"type": "text_delta", "text": t} for t in _cut(block["text"], pieces))
            for citation in block.get("citations") or []:
                yield {"type": "citations_delta", "citation": citation}
        case "thinking":
            for piece in _cut(block["thinking"], pieces) if block["thinking"] else ():
                yield {"type": "thinking_delta", "thinking": piece}
            yield {"type": "signature_delta", "signature": block["signature"]}
        case "tool_use" | "server_tool_use":
            yield {"type": "input_json_delta", "partial_json": ""}
            for piece in _cut(json.dumps(block["input"], ensure_ascii=False), pieces):
                yield {"type": "input_json_delta", "partial_json": piece}


def _cut(text: str, pieces: int) -> list[str]:
    step = max(1, -(-len(text) // max(1, pieces)))
    return [text[at : at + step] for at in range(0, len(text), step)] or [""]


def _blocks(part: Part) -> list[Json]:
    match part:
        case Text():
            block: Json = {"type": "text", "text": part.text}
            return [block | {"citations": list(part.citations)} if part.citations else block]
        case Use():
            id = part.id or new_id("toolu")
            return [{"type": "tool_use", "id": id, "name": part.name, "input": part.input}]
        case Think():
            return [{"type": "thinking", "thinking": part.text, "signature": sign(part.text)}]
        case Redacted():
            return [{"type": "redacted_thinking", "data": seal(part.seed)}]
        case Search():
            return _searched(part.query)


def _searched(query: str) -> list[Json]:
    id = new_id("srvtoolu")
    page = {
        "type": "web_search_result",
        "url": "https://example.com/",
        "title": "Example",
        "encrypted_content": "c2VhbGVk",
        "page_age": "1 day ago",
    }
    return [
        {"type": "server_tool_use", "id": id, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": id, "content": [page]},
    ]


def _shorten(content: list[Json], limit: int) -> None:
    """Never more output than was asked for."""
    for block in content:
        if block["type"] == "text" and size(block) > limit:
            block["text"] = block["text"][: max(1, limit * 4 - 40)]

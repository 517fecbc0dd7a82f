"""The simulator: a provider for machines without a provider key. Deterministic, no network.

It speaks Anthropic Messages as an httpx transport, refuses what is not in their form, streams in
time, calls a tool when the text asks for one that is offered, and reports usage, so that
everything behind the gateway can be tried, shown and load-tested. It proves nothing about real
providers.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec

from libs.common.errors import InvalidRequest
from services.gateway.body import Body
from services.gateway.errors import body_of
from services.gateway.providers.form import check_form

DELTA_SECONDS = 0.012
CHARS_PER_TOKEN = 4
WORDS_PER_DELTA = 3
QUOTED = 2_000

CODE = """Here is one way to do it:

```python
def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
```

It runs in linear time and constant space."""
# What the guide has its users ask: answered in words, whatever tools are offered.
GUIDE = ("capital of france", "calculate fibonacci", "performance implications of microservices")
CAPITAL = "The capital of France is Paris."
ANALYSIS = (
    "Three forces matter most. First, every call between services pays for serialisation and "
    "the network, so chatty boundaries cost more than large ones. Second, tail latencies add "
    "up: with ten calls in a row, the slowest percent of one becomes a tenth of all. Third, "
    "independent scaling pays only where loads really differ. Measure before you split."
)


# How a text asks for a tool: "use NAME", "call the `NAME` tool", "NAME tool". The name stands as
# it is spelled, so that "Write a function" is no call of `Write`. Whatever the text and the names
# are, looking costs little: a bounded piece of the text is read once for all tools.
ASKED_FOR = (
    re.compile(
        r"\b(?i:use|using|call|run|invoke)"
        r"(?=\s{1,20}(?:the\s{1,20})?(?:tool\s{1,20})?[`'\"]?([\w-]{1,128})(?![\w-]))"
    ),
    re.compile(r"(?<![\w-])([\w-]{1,128})(?=[`'\"]?\s{1,20}tool\b)"),
)
LOOKED_AT = 8_000


class Simulator(httpx.AsyncBaseTransport):
    """Answers `/v1/messages` and `/v1/messages/count_tokens` out of thin air."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raw = await request.aread()
        counts = request.url.path.endswith("/count_tokens")
        try:
            given = Body(raw, needs_max_tokens=not counts)
            body = given.tree(given.fields)
            check_form(body)
        except InvalidRequest as refusal:
            return _refused(refusal, raw)
        if counts:
            return _json({"input_tokens": _input_tokens(raw)})
        message = _message(body, raw)
        if not given.stream:
            return _json(message)
        return httpx.Response(
            200,
            headers={"content-type": "text/event-stream", "request-id": message["id"]},
            stream=_Events(message),
        )


class _Events(httpx.AsyncByteStream):
    def __init__(self, message: dict[str, Any]) -> None:
        self._message = message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for event in _events(self._message):
            yield event
            if b"content_block_delta" in event:
                await asyncio.sleep(DELTA_SECONDS)


def _json(body: dict[str, Any], status: int = 200) -> httpx.Response:
    id = str(body.get("id") or body.get("request_id") or "sim")
    headers = {"content-type": "application/json", "request-id": id}
    return httpx.Response(status, headers=headers, content=msgspec.json.encode(body))


def _refused(error: InvalidRequest, raw: bytes) -> httpx.Response:
    return _json(body_of(error, f"req_sim_{hashlib.sha256(raw).hexdigest()[:20]}"), 400)


def _message(body: dict[str, Any], raw: bytes) -> dict[str, Any]:
    block = _tool_use(body) or {"type": "text", "text": _text(body)}
    block, cut = _cut(block, int(body.get("max_tokens") or 1024))
    stop = "max_tokens" if cut else "tool_use" if block["type"] == "tool_use" else "end_turn"
    return {
        "id": f"msg_sim_{hashlib.sha256(raw).hexdigest()[:20]}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [block],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": _input_tokens(raw),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": _output_tokens(block),
            "service_tier": "standard",
        },
    }


def _cut(block: dict[str, Any], max_tokens: int) -> tuple[dict[str, Any], bool]:
    if block["type"] != "text" or len(block["text"]) <= max_tokens * CHARS_PER_TOKEN:
        return block, False
    return {**block, "text": block["text"][: max_tokens * CHARS_PER_TOKEN]}, True


def _events(message: dict[str, Any]) -> list[bytes]:
    block = message["content"][0]
    usage = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    empty = {**block, **({"text": ""} if block["type"] == "text" else {"input": {}})}
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    return [
        _event("message_start", message=start),
        _event("content_block_start", index=0, content_block=empty),
        _event("ping"),
        *(_event("content_block_delta", index=0, delta=delta) for delta in _deltas(block)),
        _event("content_block_stop", index=0),
        _event("message_delta", delta=stop, usage=usage),
        _event("message_stop"),
    ]


def _event(kind: str, **fields: Any) -> bytes:
    data = msgspec.json.encode({"type": kind, **fields})
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def _deltas(block: dict[str, Any]) -> list[dict[str, str]]:
    if block["type"] == "tool_use":
        text = msgspec.json.encode(block["input"]).decode()
        half = len(text) // 2
        return [{"type": "input_json_delta", "partial_json": p} for p in (text[:half], text[half:])]
    words = block["text"].split(" ")
    pieces = [
        " ".join(words[at : at + WORDS_PER_DELTA]) for at in range(0, len(words), WORDS_PER_DELTA)
    ]
    last = len(pieces) - 1
    return [
        {"type": "text_delta", "text": piece + (" " if at < last else "")}
        for at, piece in enumerate(pieces)
    ]


def _input_tokens(raw: bytes) -> int:
    return max(1, len(raw) // CHARS_PER_TOKEN)


def _output_tokens(block: dict[str, Any]) -> int:
    text = block.get("text") or msgspec.json.encode(block.get("input", {})).decode()
    return max(1, -(-len(text) // CHARS_PER_TOKEN))


def _last_user(body: dict[str, Any]) -> tuple[str, bool]:
    """The user's last words, and whether the last turn brings tool results."""
    for message in reversed(body.get("messages") or []):
        if message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content, False
        blocks = [b for b in content or [] if isinstance(b, dict)]
        texts = [str(b.get("text", "")) for b in blocks if b.get("type") == "text"]
        words = [text for text in texts if not text.lstrip().startswith("<system-reminder>")]
        return (words or [""])[-1], any(b.get("type") == "tool_result" for b in blocks)
    return "", False


def _tool_use(body: dict[str, Any]) -> dict[str, Any] | None:
    text, answered = _last_user(body)
    choice = body.get("tool_choice") or {}
    if answered or choice.get("type") == "none":
        return None
    asked_for = _asked_for(text[-LOOKED_AT:])
    for tool in body.get("tools") or []:
        name = tool.get("name") or ""
        if name and _is_called(name, choice, asked_for):
            made = hashlib.sha256(f"{name}{text}".encode()).hexdigest()[:20]
            example = _example(tool.get("input_schema"))
            return {"type": "tool_use", "id": f"toolu_sim_{made}", "name": name, "input": example}
    return None


def _is_called(name: str, choice: dict[str, Any], asked_for: set[str]) -> bool:
    if choice.get("type") in ("any", "tool"):
        return choice.get("name") in (None, name)
    return name in asked_for


def _asked_for(text: str) -> set[str]:
    """The names that a text asks for as tools, whether there are such tools or not."""
    if _mentions(text, *GUIDE):
        return set()
    return {name for form in ASKED_FOR for name in form.findall(text)}


def _mentions(text: str, *words: str) -> bool:
    lower = text.lower()
    return any(word in lower for word in words)


def _example(schema: Any) -> Any:
    """A value that a schema's required parts accept."""
    if not isinstance(schema, dict):
        return {}
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "object" | None:
            parts = schema.get("properties") or {}
            return {name: _example(parts.get(name)) for name in schema.get("required") or []}
        case "array":
            return [_example(schema.get("items"))] if schema.get("minItems") else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return "example"


def _text(body: dict[str, Any]) -> str:
    text, answered = _last_user(body)
    if answered:
        return "The tool has answered; that settles it. (Simulated answer.)"
    if _mentions(text, "capital of france"):
        return CAPITAL
    if _mentions(text, "function", "python", "fibonacci", "code"):
        return CODE
    if _mentions(text, "analy", "implication", "compare", "trade-off"):
        return ANALYSIS
    quoted = " ".join(text.split())[:QUOTED]
    return f"This is a simulated answer: no provider key is set. You wrote: {quoted}"

"""Reading the pairs below this folder, and judging events by the official SDK's types."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from libs.common.catalogue import Catalogue, ModelFacts
from libs.common.settings import Settings
from services.gateway.providers import DIALECTS
from services.gateway.providers.base import Dialect

HERE = Path(__file__).parent
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
CATALOGUE = Catalogue.load(Settings())
MODELS = {
    "openai": "gpt-4o",
    "openai-responses": "gpt-6.1-terra",
    "gemini": "gemini-3.8-flash",
    "mistral": "mistral-medium-3-5",
}
TRANSLATING = tuple(MODELS)
Json = dict[str, Any]


def dialect(name: str) -> Dialect:
    return DIALECTS[name]


def facts(name: str) -> ModelFacts | None:
    return CATALOGUE.facts(MODELS[name])


def nobody(_: str) -> str:
    return ""


def load(path: Path) -> Json:
    value: Json = json.loads(path.read_text())
    return value


def translate(name: str, request: Json) -> Any:
    return dialect(name).to_upstream(request, MODELS[name], facts(name), nobody)


def pieces(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[at : at + size] for at in range(0, len(raw), size))


def stream(name: str, raw: bytes, size: int = 1 << 20) -> bytes:
    """The canonical bytes of a provider's, fed in pieces of that size."""
    translator = dialect(name).Stream(MODELS[name], 123)
    out = [event for piece in pieces(raw, size) for event in translator.feed(piece)]
    return b"".join([*out, *translator.close()])


def events(raw: bytes) -> list[Json]:
    """Each event's data, its name being its type; the SDK's types must take it."""
    found = []
    for chunk in raw.split(b"\n\n")[:-1]:
        name, data = chunk.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        if event["type"] != "error":
            EVENT.validate_python(event, strict=False)
        found.append(event)
    return found


def assemble(found: list[Json]) -> Json:
    """The message that events tell, refusing any order Anthropic would not send."""
    assert found[0]["type"] == "message_start"
    answer: Json = found[0]["message"]
    opened = False
    for event in found[1:]:
        kind = event["type"]
        if kind == "content_block_start":
            assert not opened and event["index"] == len(answer["content"])
            answer["content"].append(dict(event["content_block"]))
            opened, text = True, ""
        elif kind == "content_block_delta":
            assert opened and event["index"] == len(answer["content"]) - 1
            text += _add(answer["content"][-1], event["delta"])
        elif kind == "content_block_stop":
            assert opened
            opened = False
            if answer["content"][-1]["type"] == "tool_use":
                answer["content"][-1]["input"] = json.loads(text)
        elif kind == "message_delta":
            assert not opened
            answer |= event["delta"] | {"usage": event["usage"]}
    assert found[-1]["type"] == "message_stop"
    assert [e["type"] for e in found].count("message_start") == 1
    Message.model_validate(answer)
    return answer


def _add(block: Json, delta: Json) -> str:
    names = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
    if delta["type"] == "input_json_delta":
        assert block["type"] == "tool_use"
        return str(delta["partial_json"])
    name = names[delta["type"]]
    assert block["type"] == ("text" if name == "text" else "thinking")
    block[name] += delta[name]
    return ""

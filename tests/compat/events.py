"""Read a stream of events, and judge its shape."""

import json
from typing import Any

Event = dict[str, Any]


def events_of(stream: bytes) -> list[Event]:
    """The data of each event; comments are none."""
    found = []
    for chunk in stream.replace(b"\r\n", b"\n").split(b"\n\n"):
        data = b"".join(line[5:] for line in chunk.split(b"\n") if line.startswith(b"data:"))
        if data.strip() and data.strip() != b"[DONE]":
            found.append(json.loads(data))
    return found


def of(events: list[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def blocks(events: list[Event]) -> dict[int, Event]:
    """Each block put together from its deltas. Asserts that every delta fits its block."""
    found: dict[int, Event] = {}
    for event in events:
        if event["type"] == "content_block_start":
            found[event["index"]] = dict(event["content_block"]) | {"parts": []}
        if event["type"] == "content_block_delta":
            block, delta = found[event["index"]], event["delta"]
            assert delta["type"] in FITS[block["type"]], (block["type"], delta["type"])
            block["parts"].append(delta)
    return found


FITS = {
    "text": ("text_delta", "citations_delta"),
    "thinking": ("thinking_delta", "signature_delta"),
    "tool_use": ("input_json_delta",),
    "server_tool_use": ("input_json_delta",),
    "web_search_tool_result": (),
    "redacted_thinking": (),
}


def inputs(events: list[Event]) -> list[Any]:
    """The arguments of each tool call, from the deltas alone."""
    texts = [
        "".join(part["partial_json"] for part in block["parts"])
        for block in blocks(events).values()
        if block["type"] == "tool_use"
    ]
    return [json.loads(text or "{}") for text in texts]


def text(events: list[Event]) -> str:
    parts = [part for block in blocks(events).values() for part in block["parts"]]
    return "".join(part.get("text", "") for part in parts)

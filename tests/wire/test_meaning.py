"""Random conversations keep their meaning on the way out and back, however streams are cut."""

import contextlib
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.errors import UpstreamFailed
from services.gateway.providers.events import UNREADABLE, replay
from tests.wire.walk import (
    HERE,
    MODELS,
    TRANSLATING,
    assemble,
    dialect,
    events,
    stream,
    translate,
)

Json = dict[str, Any]
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_-]{0,20}", fullmatch=True)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
calls = st.lists(st.tuples(names, st.dictionaries(texts, values, max_size=3)), max_size=3)
turns = st.lists(st.tuples(st.none() | texts, calls, texts), min_size=1, max_size=4)
short = settings(max_examples=40, deadline=None)


def conversation(drawn: list[tuple[str | None, list[tuple[str, Json]], str]]) -> Json:
    """Assistant turns of text and calls, each answered in full."""
    messages: list[Json] = [{"role": "user", "content": "begin"}]
    for turn, (text, made, said) in enumerate(drawn):
        blocks: list[Json] = [{"type": "text", "text": text}] if text or not made else []
        blocks = [block for block in blocks if block["text"]] or (
            [] if made else [{"type": "text", "text": "ok"}]
        )
        for number, (name, given_) in enumerate(made):
            id = f"toolu_{turn:04}_{number:04}"
            blocks.append({"type": "tool_use", "id": id, "name": name, "input": given_})
        results: list[Json] = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": said}
            for block in blocks
            if block["type"] == "tool_use"
        ]
        messages.append({"role": "assistant", "content": blocks})
        messages.append({"role": "user", "content": [*results, {"type": "text", "text": said}]})
    return {"model": "m", "max_tokens": 9, "messages": messages}


def said_by_assistant(name: str, body: Json) -> list[Json]:
    """What the provider's form holds of the assistant, as if it had just answered it."""
    if name == "gemini":
        spoken = [each for each in body["contents"] if each["role"] == "model"]
        return [{"candidates": [{"content": each, "finishReason": "STOP"}]} for each in spoken]
    if name == "openai-responses":
        items = [i for i in body["input"] if i.get("role") != "user" and "output" not in i]
        return [{"status": "completed", "output": [as_output(item)]} for item in items]
    spoken = [each for each in body["messages"] if each["role"] == "assistant"]
    return [{"choices": [{"message": each, "finish_reason": "stop"}]} for each in spoken]


def as_output(item: Json) -> Json:
    if "role" not in item:
        return item
    part = {"type": "output_text", "text": item["content"]}
    return {"type": "message", "role": "assistant", "content": [part]}


def meaning(content: list[Json]) -> tuple[str, list[tuple[str, Json]]]:
    spoken = "".join(block["text"] for block in content if block["type"] == "text")
    made = [(b["name"], b["input"]) for b in content if b["type"] == "tool_use"]
    return spoken, made


@short
@given(turns)
def test_what_was_said_and_called_comes_back_the_same(drawn: Any) -> None:
    request = conversation(drawn)
    wanted = meaning(
        [b for m in request["messages"] if m["role"] == "assistant" for b in m["content"]]
    )
    for name in TRANSLATING:
        body = json.loads(json.dumps(translate(name, request).body))
        answers = [
            dialect(name).from_upstream(answer, MODELS[name])
            for answer in said_by_assistant(name, body)
        ]
        assert meaning([block for answer in answers for block in answer["content"]]) == wanted


@short
@given(turns)
def test_every_call_is_answered_once_and_by_its_own_id(drawn: Any) -> None:
    request = conversation(drawn)
    for name in ("openai", "mistral"):
        asked = [
            call["id"]
            for message in translate(name, request).body["messages"]
            for call in message.get("tool_calls") or []
        ]
        answered = [
            message["tool_call_id"]
            for message in translate(name, request).body["messages"]
            if message["role"] == "tool"
        ]
        assert asked == answered
        assert len(set(asked)) == len(asked)


@short
@given(st.data())
def test_a_stream_says_the_same_wherever_it_is_cut(data: Any) -> None:
    path = data.draw(st.sampled_from(sorted(HERE.glob("*/*.sse"))))
    raw, name = path.read_bytes(), path.parent.name
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    translator = dialect(name).Stream(MODELS[name], 123)
    out = []
    for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True):
        out += translator.feed(raw[start:end])
    assert b"".join([*out, *translator.close()]) == stream(name, raw)


@short
@given(turns)
def test_a_whole_message_told_as_events_is_the_same_message(drawn: Any) -> None:
    content = conversation(drawn)["messages"][1]["content"]
    usage = {"input_tokens": 1, "output_tokens": 2}
    answer = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": content,
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }
    assert assemble(events(b"".join(replay(answer)))) == answer


NAMES = """
    choices delta content tool_calls function arguments id index usage type item output_index
    response output error message candidates parts text functionCall args usageMetadata
    finishReason prompt_tokens
"""
FIELDS = st.sampled_from(NAMES.split())
strange = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | texts,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(FIELDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TRANSLATING), st.lists(strange, min_size=1, max_size=3))
def test_a_strange_answer_is_a_failure_of_the_provider_never_ours(name: str, values: Any) -> None:
    raw = b"".join(b"data: %b\n\n" % json.dumps(value).encode() for value in values)
    with contextlib.suppress(UpstreamFailed):
        events(stream(name, raw))
    with contextlib.suppress(UpstreamFailed, *UNREADABLE):
        dialect(name).from_upstream(values[0], MODELS[name])

# ruff: noqa: E501 - one line reads better
"""Mistakes that other gateways made with masking, each named by its report."""

import json
from typing import Any

from services.gateway.masking import StreamRestorer
from services.pii.detector import Detector
from tests.masking.requests import mask, masked, placeholder, request_of
from tests.masking.test_stream import events_of, restored, stream, texts

MAIL, PASSWORD = "anna.berg@northwind.io", "Tr0ub4dor!x9"


def test_streams_are_restored() -> None:  # litellm 42476
    assert texts(restored(stream(("text", [f"to {placeholder(MAIL)}"]))))[0] == f"to {MAIL}"


def test_tool_arguments_are_restored() -> None:  # litellm 31950
    written = json.dumps({"command": f"mail {placeholder(MAIL)}"})
    assert json.loads(texts(restored(stream(("tool", list(written)))))[0])["command"].endswith(MAIL)


def test_tool_arguments_in_the_history_are_masked() -> None:  # litellm 41265
    tool = {"type": "tool_use", "id": "t", "name": "n", "input": {"to": MAIL}}
    assert MAIL not in json.dumps(masked(request_of("x", [tool])))


def test_a_value_keeps_its_placeholder_from_turn_to_turn() -> None:  # litellm 41600
    first = mask(request_of(MAIL))
    second = mask(request_of(PASSWORD, "x", MAIL))
    assert first.mapping.items() <= second.mapping.items()


def test_tags_with_sk_in_them_are_no_keys() -> None:  # litellm 39879
    text = "<task-notification>task-id ask-me-anything-you-like desk-booking-system-v2</task-notification>"
    assert Detector().hits(text) == []


def test_thinking_and_its_signature_are_left_alone_both_ways() -> None:  # entireio/cli 1866
    thinking: dict[str, Any] = {"type": "thinking", "thinking": PASSWORD, "signature": "c2ln"}
    assert masked(request_of(PASSWORD, [thinking]))["messages"][1]["content"] == [thinking]
    data = stream(("thinking", [placeholder(PASSWORD)]))
    assert events_of(restored(data)) == events_of(data)


def test_placeholders_have_no_brackets_to_lose() -> None:  # stella 294
    assert placeholder(MAIL).replace("_", "").isalnum()


def test_a_restored_value_is_json_inside_json() -> None:
    value = 'a "quoted"\\ line\nand another'
    mark = placeholder(MAIL)
    restorer = StreamRestorer({mark: value})
    data = stream(("tool", [f'{{"content": "{mark}"}}']))
    out = texts(restorer.feed(data) + restorer.close())
    assert json.loads(out[0]) == {"content": value}

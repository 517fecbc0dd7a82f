# ruff: noqa: E501 - events read better on one line
import json

import msgspec
import pytest

from services.gateway.masking import collect
from tests.masking.requests import fields_of, request_of

BLOCKS = [
    {"type": "text", "text": "t1", "cache_control": {"type": "ephemeral"}},
    {"type": "thinking", "thinking": "no", "signature": "no"},
    {"type": "redacted_thinking", "data": "no"},
    {"type": "tool_use", "id": "no", "name": "no", "input": {"a": "i1", "b": ["i2", 7], "c": {}}},
    {"type": "image", "source": {"type": "base64", "media_type": "no", "data": "no"}},
]
RESULTS = [
    {"type": "tool_result", "tool_use_id": "no", "content": "r1"},
    {"type": "tool_result", "tool_use_id": "no", "content": [{"type": "text", "text": "r2"}]},
    {"type": "tool_result", "tool_use_id": "no"},
    {
        "type": "document",
        "title": "d1",
        "context": "d2",
        "source": {"type": "text", "media_type": "no", "data": "d3"},
    },
    {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "d4"}]}},
    {"type": "document", "source": {"type": "base64", "media_type": "no", "data": "no"}},
    {"type": "search_result", "source": "no", "title": "s1", "content": [{"type": "text", "text": "s2"}]},
]  # fmt: skip


def test_every_maskable_text_is_collected_in_order_and_nothing_else() -> None:
    system = [{"type": "text", "text": "sys"}]
    request = request_of("first", BLOCKS, RESULTS, system=system, tools=[{"description": "no"}])
    texts = [block.text for block in collect(fields_of(request))]
    assert texts[:3] == ["sys", "first", "t1"]
    assert texts[3] == "a: i1\nb: i2\nb: 7\n"
    assert texts[4:] == ["r1", "r2", "d1", "d2", "d3", "d4", "s1", "s2"]


def test_a_block_says_where_it_stands_and_whether_people_wrote_it() -> None:
    blocks = collect(fields_of(request_of("hi", BLOCKS, RESULTS, system="s")))
    assert [(b.place, b.prose) for b in blocks][:4] == [
        ("system", True),
        ("messages[0].content", True),
        ("messages[1].content[0].text", True),
        ("messages[1].content[3].input", False),
    ]
    assert not any(b.prose for b in blocks if b.place.startswith("messages[2].content[0]"))


def test_messages_of_role_system_are_collected() -> None:
    request = {"messages": [{"role": "system", "content": "x"}]}
    assert [block.text for block in collect(fields_of(request))] == ["x"]


@pytest.mark.parametrize(
    "wrong",
    ["null", "7", '"x"', "[]", "{}", "[7]", "[null]", '[{"content": 7}]', '[{"content": [7]}]',
     '[{"content": [{"type": 7}]}]', '[{"content": [{"type": "text", "text": 7}]}]',
     '[{"content": [{"type": "tool_use", "input": "x"}]}]',
     '[{"content": [{"type": "document", "source": "x"}]}]',
     '[{"content": [{"type": "tool_result", "content": {"a": "x"}}]}]'],
)  # fmt: skip
def test_what_is_not_shaped_as_expected_is_skipped(wrong: str) -> None:
    assert collect({"messages": msgspec.Raw(wrong.encode())}) == []


def test_lone_surrogates_become_scannable_at_the_same_offsets() -> None:
    raw = msgspec.Raw(rb'[{"content": "a\ud83d b"}, {"content": [{"type": "text", "text": "c"}]}]')
    assert [block.text for block in collect({"messages": raw})] == ["a\ufffd b", "c"]


def test_nesting_has_a_bound() -> None:
    block: dict[str, object] = {"type": "text", "text": "x"}
    for _ in range(100):
        block = {"type": "tool_result", "content": [block]}
    assert collect(fields_of(request_of([block]))) == []


def test_the_raw_bytes_are_those_that_came() -> None:
    raw = rb'[{"content":"caf\u00e9 \/ x"}]'
    block = collect({"messages": msgspec.Raw(raw)})[0]
    assert block.raw == rb'"caf\u00e9 \/ x"' and block.text == json.loads(block.raw)

"""What is too deep or too much in a body, and what only looks so."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidRequest
from libs.common.settings.gateway import GatewaySettings
from services.gateway.body import Body

SETTINGS = GatewaySettings(max_depth=10, max_blocks=20)
LEAVES = st.none() | st.booleans() | st.integers() | st.text('[]{}\\",:aé\n', max_size=8)
VALUES = st.recursive(
    LEAVES, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text('[{"\\', max_size=3), v)
)


def read(settings: GatewaySettings = SETTINGS, **fields: object) -> None:
    head = {"model": "m", "max_tokens": 1, "messages": ["hi"]}
    Body(json.dumps(head | fields).encode(), settings)


def refused(settings: GatewaySettings = SETTINGS, **fields: object) -> str:
    with pytest.raises(InvalidRequest) as caught:
        read(settings, **fields)
    return caught.value.detail


def nested(levels: int) -> object:
    """So many containers, the outermost a list, the innermost with something in it."""
    value: object = 1
    for number in range(levels):
        value = {"a": value} if number % 2 else [value]
    return value


def depth(value: object) -> int:
    """Of what holds something: an empty container is as deep as a number."""
    if isinstance(value, list | dict) and value:
        return 1 + max(map(depth, value.values() if isinstance(value, dict) else value))
    return 0


@pytest.mark.parametrize("name", ["messages", "tools", "system", "of_tomorrow"])
def test_a_field_that_nests_too_deep_is_named_with_the_limit(name: str) -> None:
    read(**{name: [nested(8), "x" * 100]})
    words = refused(**{name: [nested(9), "x" * 100]})
    assert words.startswith(f"{name}: nested over 10 levels") and "gateway.max_depth" in words


@given(VALUES)
def test_depth_is_told_as_python_tells_it(value: object) -> None:
    for limit in range(1, 6):
        settings = GatewaySettings(max_depth=limit)
        deep = 1 + depth([value, "x" * 20]) > limit
        if deep:
            refused(settings, messages=["hi"], other=[value, "x" * 20])
        elif limit > 2:
            read(settings, messages=["hi"], other=[value, "x" * 20])


@pytest.mark.parametrize("levels, passes", [(120, True), (140, False)])
def test_a_large_value_is_measured_without_laying_it_out(levels: int, passes: bool) -> None:
    value = [nested(levels), *[['"[[{\\"', {}]] * 100_000]
    if passes:
        read(GatewaySettings(), other=value)
    else:
        assert "nested" in refused(GatewaySettings(), other=value)


def test_brackets_inside_strings_are_no_depth() -> None:
    read(other=["[{" * 400, {"[" * 50: '"\\' + "{" * 400}])


def test_blocks_count_in_messages_results_system_and_tools() -> None:
    text = {"type": "text", "text": "hi"}
    read(messages=[{"role": "user", "content": [text] * 19}])
    many = {
        "messages": [{"role": "user", "content": [text] * 20}],
        "system": [text] * 21,
        "tools": [{"name": "t", "input_schema": {}}] * 21,
    }
    for name, value in many.items():
        assert refused(**{name: value}).startswith(f"{name}: over 20 content blocks")
    result = {"type": "tool_result", "tool_use_id": "t", "content": [text] * 18}
    read(messages=[{"role": "user", "content": [result]}])
    result["content"] = [text] * 19
    assert "gateway.max_blocks" in refused(messages=[{"role": "user", "content": [result]}])


def test_commas_and_objects_that_are_no_blocks_are_none() -> None:
    call = {"type": "tool_use", "id": "t", "name": "t", "input": {"rows": [{"a": 1}] * 500}}
    read(messages=[{"role": "assistant", "content": [call]}, {"content": "a, b, c, " * 500}])


def test_a_long_list_of_what_is_no_block_is_not_read() -> None:
    assert "over 20" in refused(messages=list(range(100)))

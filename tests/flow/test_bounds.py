"""How deep a body may nest and how many blocks it may hold, at every door that takes one."""

from typing import Any

import pytest

from tests.flow.asks import SMALL, ask
from tests.support.provider import Provider
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
MODEL = "claude-sonnet-5-5"
PART = {"type": "text", "text": "hi"}
INPUT = {"type": "input_text", "text": "hi"}


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"gateway": "max_depth = 12\nmax_blocks = 30"}


def nested(levels: int) -> Any:
    return "x" if not levels else {"properties": {"a": nested(levels - 2)}}


def messages(tools: list[Any], parts: list[Any]) -> dict[str, Any]:
    return SMALL | {"messages": [{"role": "user", "content": parts}], "tools": tools}


def chat(tools: list[Any], parts: list[Any]) -> dict[str, Any]:
    own = [{"type": "function", "function": {"name": "t", "parameters": t}} for t in tools]
    return {"model": MODEL, "messages": [{"role": "user", "content": parts}], "tools": own}


def responses(tools: list[Any], parts: list[Any]) -> dict[str, Any]:
    own = [{"type": "function", "name": "t", "parameters": t} for t in tools]
    return {"model": MODEL, "input": [{"role": "user", "content": parts}], "tools": own}


def batch(tools: list[Any], parts: list[Any]) -> dict[str, Any]:
    return {"requests": [{"custom_id": "a", "params": messages(tools, parts)}]}


DOORS = {
    "/v1/messages": (messages, PART),
    "/v1/messages/count_tokens": (messages, PART),
    "/v1/messages/batches": (batch, PART),
    "/v1/chat/completions": (chat, PART),
    "/v1/responses": (responses, INPUT),
}


def error(door: str, answer: Any) -> str:
    """The words of a refusal in the door's own dialect."""
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-should-retry"] == "false"
    body = answer.json()
    own = "messages" in door
    assert body["error"]["type"] == "invalid_request_error"
    assert (body.get("type") == "error") is own and ("code" in body["error"]) is not own
    return str(body["error"]["message"])


@pytest.mark.parametrize("door", DOORS)
async def test_a_body_that_nests_too_deep_is_refused(
    mux: Stack, provider: Provider, door: str
) -> None:
    make, part = DOORS[door]
    schema = {"name": "t", "type": "object"} | nested(14)
    async with mux.http() as http:
        words = error(door, await http.post(door, json=make([schema], [part])))
    assert words.startswith("tools: nested over 12 levels") and "gateway.max_depth" in words
    assert not provider.calls


@pytest.mark.parametrize("door", DOORS)
async def test_a_body_of_too_many_blocks_is_refused(
    mux: Stack, provider: Provider, door: str
) -> None:
    make, part = DOORS[door]
    async with mux.http() as http:
        words = error(door, await http.post(door, json=make([], [part] * 30)))
    field = "input" if "responses" in door else "messages"
    assert words.startswith(f"{field}: over 30 content blocks") and "gateway.max_blocks" in words
    assert not provider.calls


async def test_deep_arguments_inside_a_string_are_found_too(mux: Stack, provider: Provider) -> None:
    call = {"name": "t", "arguments": '{"a":' * 14 + "1" + "}" * 14}
    turn = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": call}]}
    body = {"model": MODEL, "messages": [*ask()["messages"], turn]}
    async with mux.http() as http:
        answer = await http.post("/v1/chat/completions", json=body)
    assert "nested" in error("/v1/chat/completions", answer) and not provider.calls


@pytest.mark.parametrize("door", DOORS)
async def test_a_body_within_the_bounds_passes(mux: Stack, door: str) -> None:
    make, part = DOORS[door]
    async with mux.http() as http:
        answer = await http.post(door, json=make([], [part] * 25))
    assert answer.status_code == 200, answer.text

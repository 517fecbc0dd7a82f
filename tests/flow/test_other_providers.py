"""Claude's clients on other providers' models: the same answers, tools, streams and costs."""

from typing import Any

import pytest

from tests.flow.asks import WEATHER, ask
from tests.support.provider import KEY, Provider, fail, say, think, use, uses
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
CONFIG = f"""
[providers.openai]
api_key = "{KEY}"
base_url = "{{stand_in}}/openai/v1"
[providers.chat]
dialect = "openai"
catalogue = "openai"
api_key = "{KEY}"
base_url = "{{stand_in}}/openai/v1"
models = ["gpt-6-luna"]
[providers.gemini]
api_key = "{KEY}"
base_url = "{{stand_in}}/v1beta"
[providers.mistral]
api_key = "{KEY}"
base_url = "{{stand_in}}/mistral/v1"
"""
CHAT = "chat/gpt-6-luna"
MODELS = ["gpt-6.1-terra", CHAT, "gemini-3.8-flash", "mistral-medium-3-5"]
every_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": CONFIG}


@every_model
async def test_an_answer_is_a_message_of_anthropics(
    mux: Stack, provider: Provider, model: str
) -> None:
    provider.always = say("Grüße 👋🏽 done.", deltas=9, cut=1)
    body = ask(model=model)
    async with mux.sdk() as sdk:
        whole = await sdk.messages.create(**body)
        async with sdk.messages.stream(**body) as stream:
            streamed = await stream.get_final_message()
    for answer in (whole, streamed):
        assert answer.content[-1].text == "Grüße 👋🏽 done." and answer.stop_reason == "end_turn"
        assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0
    assert provider.calls[0].path != "/v1/messages"


@every_model
async def test_a_tool_loop_ends_in_an_answer(mux: Stack, provider: Provider, model: str) -> None:
    cities: list[dict[str, Any]] = [{"city": name} for name in ("Bern", "Rome", "Oslo")]
    provider.script(uses(*(("get_weather", city) for city in cities)), say("Sunny everywhere."))
    body = ask("Weather?", model=model, tools=[WEATHER])
    async with mux.sdk() as sdk:
        async with sdk.messages.stream(**body) as stream:
            first = await stream.get_final_message()
        calls = [block for block in first.content if block.type == "tool_use"]
        assert [call.input for call in calls] == cities and first.stop_reason == "tool_use"
        results = [{"type": "tool_result", "tool_use_id": c.id, "content": "21 °C"} for c in calls]
        turns = [
            *body["messages"],
            {"role": "assistant", "content": [b.model_dump() for b in first.content]},
            {"role": "user", "content": results},
        ]
        answer = await sdk.messages.create(**body | {"messages": turns})
    assert answer.content[-1].text == "Sunny everywhere.", provider.last.why


@every_model
async def test_a_tool_without_arguments_is_called_with_none(
    mux: Stack, provider: Provider, model: str
) -> None:
    provider.script(use("get_weather", {}))
    async with (
        mux.sdk() as sdk,
        sdk.messages.stream(**ask(model=model, tools=[WEATHER])) as stream,
    ):
        answer = await stream.get_final_message()
    assert [block.input for block in answer.content if block.type == "tool_use"] == [{}]


@every_model
async def test_thinking_is_thinking(mux: Stack, provider: Provider, model: str) -> None:
    provider.script(think("Let me see.", "It is 42."))
    async with mux.sdk() as sdk, sdk.messages.stream(**ask(model=model)) as stream:
        answer = await stream.get_final_message()
    assert answer.content[-1].text == "It is 42."
    assert [block.type for block in answer.content] in (["thinking", "text"], ["text"])


@every_model
@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
async def test_an_error_has_anthropics_shape(
    mux: Stack, provider: Provider, model: str, status: int
) -> None:
    provider.always = fail(status, "context is too long", retry_after=5)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model=model, stream=True))
    assert answer.status_code >= 400 and answer.json()["type"] == "error", answer.text
    if status == 429:
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")


@every_model
async def test_the_rows_sum_to_the_bill(mux: Stack, provider: Provider, model: str) -> None:
    before = len(await mux.rows(0))
    provider.always = say("word " * 60, usage={"read": 77})
    async with mux.http() as http:
        for stream in (False, True):
            answer = await http.post("/v1/messages", json=ask(model=model, stream=stream))
            assert answer.status_code == 200, answer.text
    rows = (await mux.rows(before + 2))[before:]
    assert sum(row.cost for row in rows) == provider.bill.total > 0
    assert all(row.tokens.cache_read == 77 for row in rows)


@every_model
async def test_what_claude_code_sends_is_understood(
    mux: Stack, provider: Provider, model: str
) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    schema = WEATHER["input_schema"] | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "additionalProperties": False,
    }
    body = ask(
        "Hi",
        model=model,
        stream=True,
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.197.abc;"},
            {"type": "text", "text": "Be brief.", **mark},
        ],
        tools=[WEATHER | {"input_schema": schema}],
        thinking={"type": "adaptive"},
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        metadata={"user_id": '{"session_id":"5e55"}'},
    )
    body["messages"].append({"role": "system", "content": "Mind the gap."})
    async with mux.http() as http:
        answer = await http.post("/v1/messages?beta=true", json=body)
    assert answer.status_code == 200 and b"message_stop" in answer.content, answer.text
    assert b"x-anthropic-billing-header" not in provider.last.body
    assert b"Mind the gap." in provider.last.body

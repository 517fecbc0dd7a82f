"""The official clients through the whole product to every provider: tools, streams, usage."""

from typing import Any

import openai
import pytest

from tests.support.provider import say, use
from tests.support.stack import KEYS, Stack
from tests.wire.stand_in import INPUT, WORDS, StandIn

pytestmark = pytest.mark.anyio
Json = dict[str, Any]
OTHERS = ("gpt-6.1-terra", "groq/llama-4", "gemini-3.8-flash", "mistral-medium-3-5")
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": ["string", "null"], "format": "place"}},
    "required": ["city"],
    "additionalProperties": False,
    "$schema": "https://json-schema.org/draft/2020-12/schema",
}
TOOL: Json = {"name": "get_weather", "description": "Weather", "input_schema": WEATHER}
FUNCTION: Json = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER}}
SMALL: Json = {"max_tokens": 4_000, "tools": [TOOL], "thinking": {"type": "adaptive"}}
HELLO: list[Any] = [
    {"role": "user", "content": "Weather?"},
    {"role": "system", "content": "The time is noon."},
]


def sdk(mux: Stack) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{mux.url}/v1", api_key=KEYS["plain"], max_retries=0)


def answered(said: list[Any]) -> list[Any]:
    content = [block.model_dump(exclude_none=True) for block in said]
    made = [block for block in content if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": b["id"], "content": "21 °C"} for b in made]
    return [
        *HELLO,
        {"role": "assistant", "content": content},
        {"role": "user", "content": [*results, {"type": "text", "text": "And?"}]},
    ]


@pytest.mark.parametrize("model", OTHERS)
async def test_anthropics_client_runs_its_tools_on_every_provider(mux: Stack, model: str) -> None:
    async with mux.sdk() as client:
        async with client.messages.stream(model=model, messages=HELLO, **SMALL) as stream:
            first = await stream.get_final_message()
        assert first.stop_reason == "tool_use"
        assert first.content[-1].input == INPUT
        last = await client.messages.create(model=model, messages=answered(first.content), **SMALL)
    assert last.content[-1].text == WORDS
    assert last.model == model.removeprefix("groq/")
    assert (last.usage.input_tokens, last.usage.output_tokens) == (20, 5)


@pytest.mark.parametrize("model", OTHERS)
async def test_a_long_tool_name_comes_back_whole(mux: Stack, model: str) -> None:
    long = "mcp__a-server-of-many-words__" + "and_a_tool_of_more_" * 3
    asked = SMALL | {"tools": [TOOL | {"name": long}]}
    async with mux.sdk() as client:
        said = await client.messages.create(model=model, messages=HELLO, **asked)
        async with client.messages.stream(model=model, messages=HELLO, **asked) as stream:
            told = await stream.get_final_message()
    assert said.content[-1].name == told.content[-1].name == long


async def test_a_conversation_moves_between_providers_and_is_never_refused(mux: Stack) -> None:
    mux.provider.reset()
    mux.provider.script(use("get_weather", INPUT), say("Back at Claude's."))
    talk: list[Any] = [{"role": "user", "content": "Weather?"}]
    async with mux.sdk() as client:
        for model in ("claude-opus-5-5", *OTHERS, "claude-opus-5-5"):
            said = await client.messages.create(model=model, messages=talk, **SMALL)
            talk.append({"role": "assistant", "content": said.content})
            made = [block for block in said.content if block.type == "tool_use"]
            results = [
                {"type": "tool_result", "tool_use_id": block.id, "content": "21 °C"}
                for block in made
            ]
            talk.append({"role": "user", "content": results or "And now?"})
    assert said.content[-1].text == "Back at Claude's."


@pytest.mark.parametrize("model", [*OTHERS, "claude-opus-5-5"])
async def test_openais_client_runs_its_tools_on_every_provider(mux: Stack, model: str) -> None:
    mux.provider.reset()
    mux.provider.script(use("get_weather", INPUT), say(WORDS))
    talk: list[Any] = [{"role": "user", "content": "Weather?"}]
    async with sdk(mux) as client:
        first = await client.chat.completions.create(model=model, messages=talk, tools=[FUNCTION])
        call = first.choices[0].message.tool_calls[0]
        assert call.function.name == "get_weather"
        talk += [
            first.choices[0].message.model_dump(exclude_none=True, include={"role", "tool_calls"}),
            {"role": "tool", "tool_call_id": call.id, "content": "21 °C"},
        ]
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model=model,
                messages=talk,
                tools=[FUNCTION],
                stream=True,
                stream_options={"include_usage": True},
            )
        ]
    said = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert said == WORDS
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("model", ["gpt-6.1-terra", "claude-opus-5-5"])
async def test_openais_client_speaks_responses_to_every_provider(mux: Stack, model: str) -> None:
    mux.provider.reset()
    mux.provider.script(use("get_weather", INPUT), say(WORDS))
    tool: Any = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": False}
    talk: list[Any] = [{"role": "user", "content": "Weather?"}]
    async with sdk(mux) as client:
        first = await client.responses.create(model=model, input=talk, tools=[tool])
        made = [item for item in first.output if item.type == "function_call"]
        talk += [item.model_dump(exclude_none=True) for item in first.output]
        talk += [
            {"type": "function_call_output", "call_id": item.call_id, "output": "21 °C"}
            for item in made
        ]
        async with client.responses.stream(model=model, input=talk, tools=[tool]) as stream:
            last = await stream.get_final_response()
    assert last.output_text == WORDS
    assert last.status == "completed"


async def test_openais_client_reads_our_errors(mux: Stack) -> None:
    async with sdk(mux) as client:
        with pytest.raises(openai.BadRequestError) as caught:
            await client.chat.completions.create(
                model="gpt-4o", messages=[{"role": "user", "content": "x"}], n=2
            )
        assert caught.value.param == "n"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(
                model="no-such-model", messages=[{"role": "user", "content": "x"}]
            )


async def test_a_provider_by_preset_is_configured_by_its_name_alone(
    mux: Stack, others: StandIn
) -> None:
    async with mux.sdk() as client:
        said = await client.messages.create(
            model="groq/llama-4", max_tokens=100, messages=[{"role": "user", "content": "Hi"}]
        )
    assert said.content[0].text == WORDS
    assert others.seen[-1]["max_tokens"] == 100


async def test_openais_reasoning_effort_is_said_as_each_claude_takes_it(mux: Stack) -> None:
    hello: list[Any] = [{"role": "user", "content": "Hi"}]
    wanted = {"claude-haiku-4-5": "enabled", "claude-opus-5-5": "adaptive"}
    async with sdk(mux) as client:
        for model, kind in wanted.items():
            mux.provider.reset()
            await client.chat.completions.create(
                model=model, messages=hello, reasoning_effort="low", max_tokens=8_000, temperature=1
            )
            assert mux.provider.last.json["thinking"]["type"] == kind

"""Thinking and its signatures (rows 15 to 21)."""

from typing import Any

import pytest

from tests.compat.cases import covers
from tests.compat.conftest import OTHER
from tests.compat.events import events_of, of
from tests.flow.asks import WEATHER, ask, streamed
from tests.support.provider import Provider, Text, Think, Use, say, think
from tests.support.provider.scene import Scene
from tests.support.stack import Place

pytestmark = pytest.mark.anyio
BUDGET = {"type": "enabled", "budget_tokens": 2000}


async def second_turn(
    mux: Place, first: dict[str, Any], then: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Ask, and send the answer back with the next question: the second answer's status, body."""
    async with mux.http() as http:
        opened = await http.post("/v1/messages", json=first)
        assert opened.status_code == 200, opened.text
        content = opened.json()["content"]
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": "ok"} for id in calls]
        turns = [
            *first["messages"],
            {"role": "assistant", "content": content},
            {"role": "user", "content": results or "And now?"},
        ]
        answer = await http.post("/v1/messages", json=then | {"messages": turns})
    return answer.status_code, answer.json()


@covers(15)
async def test_thinking_of_another_model_does_not_go_to_claude(
    mux: Place, provider: Provider
) -> None:
    provider.script(think(), say("Fine."))
    status, answer = await second_turn(mux, ask(model=OTHER), ask())
    assert status == 200, answer


@covers(16)
async def test_signatures_come_back_as_they_were_made(mux: Place, provider: Provider) -> None:
    provider.script(think("Let me see."), say("Fine."))
    status, answer = await second_turn(mux, ask(), ask())
    assert status == 200, answer
    assert provider.last.json["messages"][1]["content"][0]["signature"]


@covers(17)
async def test_thinking_stays_in_front_of_a_tool_call(mux: Place, provider: Provider) -> None:
    call = Use(name="get_weather", input={"city": "Bern"})
    provider.script(Scene(parts=(Think(text="I look."), call)), say("Fine."))
    body = ask(model="claude-haiku-4-5", thinking=BUDGET, max_tokens=4000, tools=[WEATHER])
    status, answer = await second_turn(mux, body, body)
    assert status == 200, answer


@covers(18)
async def test_a_thinking_block_without_text_is_kept(mux: Place, provider: Provider) -> None:
    provider.script(Scene(parts=(Think(), Text(text="42"))), say("Fine."))
    status, answer = await second_turn(mux, ask(), ask())
    assert status == 200, answer
    kinds = [block["type"] for block in provider.last.json["messages"][1]["content"]]
    assert kinds == ["thinking", "text"]


@covers(19)
async def test_how_thinking_is_shown_is_the_clients_choice(mux: Place, provider: Provider) -> None:
    asked = {"type": "adaptive", "display": "omitted"}
    async with mux.http() as http:
        await http.post("/v1/messages", json=ask(thinking=asked))
    assert provider.last.json["thinking"] == asked


@covers(20)
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", OTHER])
async def test_a_signature_comes_in_a_signature_delta(
    mux: Place, provider: Provider, model: str
) -> None:
    provider.script(think())
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed(model=model))
    deltas = [event["delta"] for event in of(events_of(answer.content), "content_block_delta")]
    signed = [delta["type"] for delta in deltas if "signature" in delta]
    assert signed == ["signature_delta"]


@covers(21)
async def test_deepseek_gets_its_reasoning_back(mux: Place, provider: Provider) -> None:
    call = Use(name="get_weather", input={"city": "Bern"})
    provider.script(Scene(parts=(Think(text="I look."), call)), say("Fine."))
    thinking = {"type": "enabled", "budget_tokens": 1024}
    more = {"tools": [WEATHER], "thinking": thinking, "max_tokens": 4000}
    body = ask(model="deepseek/deepseek-reasoner", **more)
    status, answer = await second_turn(mux, body, body)
    assert status == 200, answer
    turns = [turn for turn in provider.last.json["messages"] if turn["role"] == "assistant"]
    assert turns[0]["reasoning_content"] == "I look."

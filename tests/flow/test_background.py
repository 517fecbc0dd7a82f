"""What Claude Code asks for itself is recognised, and goes where such work belongs."""

from typing import Any

import pytest

from tests.flow.asks import WEATHER, ask
from tests.support.provider import Provider
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
BILLING = "x-anthropic-billing-header: cc_version=2.1.197.0a1; cc_entrypoint=cli;"
TITLE = (
    "Generate a concise, sentence-case title (3-7 words) that captures the main topic or goal of "
    "this coding session."
)
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
CODE = "Write a Python function that merges two sorted lists, with tests, and refactor the caller"
COMPACT = (
    "Your task is to create a detailed summary of the conversation so far, paying close attention "
    "to the user's explicit requests and your previous actions."
)
HISTORY = [
    {"role": "user", "content": CODE},
    {"role": "assistant", "content": "Done."},
    {"role": "user", "content": COMPACT},
]


def own(*system: str, text: str = CODE, subagent: bool = False, **more: Any) -> dict[str, Any]:
    """A request of Claude Code on its largest model."""
    head = f"{BILLING} cc_is_subagent=true;" if subagent else BILLING
    blocks = [{"type": "text", "text": each} for each in (head, *system)]
    return ask(text, model="claude-opus-5-5", max_tokens=8000, system=blocks, **more)


def tools(count: int) -> list[dict[str, Any]]:
    return [WEATHER | {"name": f"tool_{number}"} for number in range(count)]


FORMAT = {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}
TOPIC = "Analyze if this message indicates a new conversation topic. Extract a 2-3 word title."
SUMMING = "You are a helpful AI assistant tasked with summarizing conversations."
AWAY = "Summarize this portion of a Claude Code session transcript. Focus on:\n1. the goal"
BACKGROUND = [
    ("title", own(TITLE, output_config=FORMAT, thinking={"type": "disabled"})),
    ("topic", own(TOPIC)),
    ("summary", own("Treat it as data to summarize.", text="<conversation>\nUser: hi")),
    ("summary", own(text=AWAY)),
    (
        "web_search",
        own("You are an assistant for performing a web search tool use", tools=[SEARCH]),
    ),
]
FOREGROUND = [
    ("code", own("You are Claude Code.")),
    ("code", own("You are Claude Code.", tools=tools(24))),
    ("code", own("You are an agent for Claude Code.", tools=tools(24), subagent=True)),
    ("code", ask("Write a compact Python function to summarize this list", system="Be brief.")),
    ("compact", own(SUMMING, messages=HISTORY)),
    ("compact", own("You are Claude Code.", messages=HISTORY, tools=tools(24))),
]


async def explained(mux: Stack, body: dict[str, Any]) -> Any:
    async with mux.http("auto") as http:
        return (await http.post("/v1/route", json=body)).json()


@pytest.mark.parametrize("label, body", BACKGROUND)
async def test_a_background_call_goes_to_the_cheapest(
    mux: Stack, label: str, body: dict[str, Any]
) -> None:
    plan = await explained(mux, body)
    assert plan["label"] == label and "background call" in plan["reason"]
    assert plan["candidates"][0]["model"] == "claude-haiku-5-5"


@pytest.mark.parametrize("label, body", FOREGROUND)
async def test_the_users_own_work_is_not_taken_for_a_background_call(
    mux: Stack, label: str, body: dict[str, Any]
) -> None:
    plan = await explained(mux, body)
    assert plan["label"] == label and "background" not in plan["reason"]
    assert plan["candidates"][0]["model"] != "claude-haiku-5-5"


async def test_a_haiku_class_call_never_rises(mux: Stack) -> None:
    body = own("You are Claude Code.", text="Analyze the design in depth. " + CODE)
    plan = await explained(mux, body | {"model": "haiku"})
    assert plan["candidates"][0]["model"] == "claude-haiku-5-5"


async def test_a_background_call_leaves_the_session_where_it_is(
    mux: Stack, provider: Provider
) -> None:
    run = {"x-claude-code-session-id": "5e55-background"}
    async with mux.http("auto", **run) as http:
        first = await http.post("/v1/messages", json=own("You are Claude Code.", tools=tools(4)))
        title = await http.post("/v1/messages", json=BACKGROUND[0][1])
        again = await http.post("/v1/messages", json=own("You are Claude Code.", tools=tools(4)))
    models = [each.headers["x-modelmuxer-model"] for each in (first, title, again)]
    assert models[0] == models[2] != models[1] == "claude-haiku-5-5"

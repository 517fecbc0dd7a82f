"""Without a provider key the simulator answers: a sound request as a provider would, any other
with an error that names the field."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings

from tests.flow.asks import SMALL, WEATHER, ask
from tests.flow.malformed import BAD, HEAD, MISFORMED, NOT_UTF8, Case, ids
from tests.flow.test_refusals import shaped
from tests.support.json import CHANGES
from tests.support.rich import CHAT, COMMON, RESPONSES
from tests.support.spoil import spoilt
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
# A model that takes all fields there are.
FREE = SMALL | {"model": "claude-haiku-4-5"}
CLAUDE_CODE = ("Bash", "Read", "Write", "Edit", "Glob", "Grep", "Task", "WebFetch", "TodoWrite")
TOOLS = [WEATHER, *(WEATHER | {"name": name} for name in CLAUDE_CODE)]


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"providers": ""}


@pytest.fixture(scope="module")
async def http(opened: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client whose texts are masked; making one takes longer than all that it is asked."""
    async with opened.http("masked") as client:
        yield client


@pytest.mark.parametrize("case", BAD, ids=ids(BAD))
async def test_a_body_without_its_fields_is_refused(http: httpx.AsyncClient, case: Case) -> None:
    answer = await http.post("/v1/messages", json=case[1])
    assert case[2] in shaped(answer, 400, "invalid_request_error")


@pytest.mark.parametrize("case", MISFORMED, ids=ids(MISFORMED))
async def test_a_field_of_a_wrong_type_is_named(http: httpx.AsyncClient, case: Case) -> None:
    for path, more in (("", {"stream": False}), ("", {"stream": True}), ("/count_tokens", {})):
        answer = await http.post(f"/v1/messages{path}", json=FREE | case[1] | more)
        words = shaped(answer, 400, "invalid_request_error")
        assert words.startswith(case[2]), words


@pytest.mark.parametrize("case", NOT_UTF8, ids=ids(NOT_UTF8))
@pytest.mark.parametrize("key", ["plain", "masked"])
async def test_bytes_that_are_no_utf8_are_refused(mux: Stack, case: Case, key: str) -> None:
    async with mux.http(key) as http:
        for path in ("/v1/messages", "/v1/messages/count_tokens"):
            answer = await http.post(path, content=case[1])
            words = shaped(answer, 400, "invalid_request_error")
            assert "UTF-8" in words and case[2] in words
        for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/route"):
            answer = await http.post(path, content=case[1])
            assert answer.status_code == 400 and "UTF-8" in answer.json()["error"]["message"]


@pytest.mark.parametrize("text", ["\\ud83d", "\\udc00 \\ud83d\\ude00", "\\u0000"])
async def test_every_text_that_json_allows_is_answered(mux: Stack, text: str) -> None:
    said = HEAD + b'"messages":[{"role":"user","content":"%s"}]' % text.encode()
    async with mux.http() as http:
        for more in (b"}", b',"stream":true}'):
            answer = await http.post("/v1/messages", content=said + more)
            assert answer.status_code == 200 and b"error" not in answer.content


async def test_a_large_body_is_answered(mux: Stack) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask("long " * 200_000))
    assert answer.status_code == 200 and answer.json()["content"][0]["text"]


@pytest.mark.parametrize("door", ["messages", "chat/completions", "responses"])
@given(change=CHANGES)
@settings(
    max_examples=25,
    deadline=None,
)
async def test_whatever_a_field_holds_nothing_breaks(
    http: httpx.AsyncClient, door: str, change: tuple[str, Any]
) -> None:
    body = SMALL | ({"input": "Hi"} if door == "responses" else {}) | dict([change])
    answers = [await http.post(f"/v1/{door}", json=body)]
    if door == "messages":
        answers.append(await http.post("/v1/messages/count_tokens", json=body))
    for answer in answers:
        assert answer.status_code in (200, 400), answer.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "door, body",
    [("messages", COMMON), ("chat/completions", CHAT), ("responses", RESPONSES)],
    ids=["messages", "chat", "responses"],
)
async def test_one_wrong_thing_anywhere_is_answered_or_refused(
    http: httpx.AsyncClient, door: str, body: dict[str, Any]
) -> None:
    requests = spoilt(body)

    async def asking() -> None:
        for place, request in requests:
            answer = await http.post(f"/v1/{door}", json=request)
            assert answer.status_code in (200, 400, 404), (place, answer.text)

    await asyncio.gather(*(asking() for _ in range(8)))


async def test_a_claude_of_tomorrow_is_answered_and_booked_at_the_dearest_price(mux: Stack) -> None:
    before = len(await mux.rows(0))
    async with mux.http() as http:
        for stream in (False, True):
            answer = await http.post("/v1/messages", json=ask(model="claude-zork-9", stream=stream))
            assert answer.status_code == 200 and b'"error"' not in answer.content
    rows = (await mux.rows(before + 2))[before:]
    assert [(row.outcome, row.unpriced) for row in rows] == [("ok", True)] * 2
    assert all(0 < row.cost <= row.reserved for row in rows)


async def called(http: httpx.AsyncClient, text: str, **more: Any) -> str:
    """The tool that is called, or the empty text."""
    body = ask(text, **{"tools": TOOLS, **more}) | {"model": FREE["model"]}
    answer = await http.post("/v1/messages", json=body)
    block = answer.json()["content"][0]
    return str(block.get("name", ""))


@pytest.mark.parametrize(
    "text, tool",
    [
        ("Use get_weather for Paris", "get_weather"),
        ("please call the `get_weather` tool", "get_weather"),
        ("What do you see with the Glob tool?", "Glob"),
        ("run Bash", "Bash"),
        ("Invoke the tool Grep", "Grep"),
        ("Write a Python function to calculate fibonacci", ""),
        ("Use Python: Write a Python function to calculate fibonacci with the Write tool", ""),
        ("What is the capital of France?", ""),
        ("Analyze the performance implications of microservices; use Bash", ""),
        ("Read the file and Edit it, then Task done; grep, glob and bash are fine", ""),
        ("write tool, edit tools and use WebFetcher or TodoWrites", ""),
        ("I use Reader; reuse Bash_history and misuse Bash", ""),
    ],
)
async def test_a_tool_is_called_where_the_text_asks_for_it(
    http: httpx.AsyncClient, text: str, tool: str
) -> None:
    assert await called(http, text) == tool


async def test_a_tool_choice_is_obeyed(http: httpx.AsyncClient) -> None:
    assert await called(http, "Hi", tool_choice={"type": "tool", "name": "Edit"}) == "Edit"
    assert await called(http, "Hi", tool_choice={"type": "any"}) == "get_weather"
    assert await called(http, "use Bash", tool_choice={"type": "none"}) == ""


async def test_odd_names_in_a_text_of_blanks_are_answered_quickly(http: httpx.AsyncClient) -> None:
    names = (" ", "\t", "  ", "(x+)+", "{0}", "x" * 200_000, *(f"t{n}" for n in range(2_000)))
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    start = time.monotonic()
    for text in (" " * 1_000_000, "use the tool " + " " * 1_000_000, "use the " * 100_000):
        assert await called(http, text, tools=tools) == ""
    assert time.monotonic() - start < 10
    assert await called(http, " " * 1_000_000 + "use t7", tools=tools) == "t7"

"""Endpoints and models (rows 44 to 50)."""

import asyncio

import httpx
import pytest

from tests.compat.cases import covers
from tests.compat.conftest import OTHER
from tests.flow.asks import ask, streamed
from tests.support.provider import Provider, fail, say
from tests.support.stack import Place

pytestmark = pytest.mark.anyio


@covers(44)
@pytest.mark.parametrize("model", ["claude-sonnet-5-5", OTHER])
async def test_tokens_are_really_counted(mux: Place, provider: Provider, model: str) -> None:
    words = ask("word " * 400, model=model)
    body = {name: words[name] for name in ("model", "messages")} | {"tools": []}
    async with mux.http() as http:
        answer = await http.post("/v1/messages/count_tokens?beta=true", json=body)
    assert answer.status_code == 200 and 300 < answer.json()["input_tokens"] < 1500


@covers(45)
@pytest.mark.parametrize("model", ["claude-haiku-4-5-20251001", "claude-3-5-haiku-20241022"])
async def test_the_background_model_is_known(mux: Place, provider: Provider, model: str) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model=model))
    assert answer.status_code == 200, answer.text


@covers(46)
async def test_every_listed_model_can_be_asked(mux: Place, provider: Provider) -> None:
    async with mux.http() as http:
        listed = (await http.get("/v1/models", params={"limit": 1000})).json()["data"]
        kept = [m for m in listed if m["id"].startswith(("claude", "anthropic"))]
        assert any("gpt" in model["id"] for model in kept), listed
        provider.always = say("ok")
        for model in (listed[0], listed[-1], kept[0], kept[-1]):
            answer = await http.post("/v1/messages", json=ask(model=model["id"]))
            assert answer.status_code == 200, (model, answer.text)


@covers(47)
async def test_a_subagent_is_routed_and_booked_like_its_session(
    mux: Place, provider: Provider
) -> None:
    before = len(await mux.rows(0))
    session = {"x-claude-code-session-id": "5e55"}
    async with mux.http(**session) as http:
        await http.post("/v1/messages", json=ask())
    async with mux.http(**session, **{"x-claude-code-agent-id": "a9e7"}) as http:
        await http.post("/v1/messages", json=ask())
    main, sub = (await mux.rows(before + 2))[before:]
    assert (main.model, main.principal.run) == (sub.model, sub.principal.run)
    assert (main.principal.agent, sub.principal.agent) == ("", "a9e7")


@covers(48)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_translated_request_does_not_hang(
    mux: Place, provider: Provider, stream: bool
) -> None:
    provider.always = say(first=60.0)
    async with asyncio.timeout(12), mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model=OTHER, stream=stream))
    assert answer.status_code >= 500 or b"event: error" in answer.content


@covers(49)
async def test_a_page_of_html_becomes_an_error_in_shape(mux: Place, provider: Provider) -> None:
    provider.always = fail(502, html=True)
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.status_code == 502 and answer.json()["error"]["type"] == "api_error"


@covers(50)
async def test_the_probe_of_claude_code_is_answered(mux: Place) -> None:
    async with httpx.AsyncClient(base_url=mux.url) as http:
        answer = await http.head("/", headers={"user-agent": "Bun/1.4.0"})
    assert answer.status_code == 200

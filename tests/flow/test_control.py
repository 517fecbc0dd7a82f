"""What keys and administrators control: models, caps, keys at run time, the kill switch."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.flow.asks import ask, streamed
from tests.support.provider import Provider, say
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
LIMITED = """
[keys.limited]
key = "sk-mm-limited-0000000000001"
routing = "respect"
pii = "off"
models = ["claude-haiku-*"]
"""
PATIENT = "ping_after = 0.3\nping_every = 0.3\necho_model = true"


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": LIMITED, "gateway": PATIENT}


async def post(mux: Stack, body: dict[str, Any], key: str, **more: str) -> httpx.Response:
    async with mux.http(**{"x-api-key": key} | more) as http:
        return await http.post("/v1/messages", json=body)


async def test_a_model_outside_the_keys_list_is_forbidden(mux: Stack, provider: Provider) -> None:
    answer = await post(mux, ask(model="claude-opus-4-8"), "sk-mm-limited-0000000000001")
    assert answer.status_code == 403 and "claude-haiku-*" in answer.text
    assert not provider.calls
    allowed = await post(mux, ask(model="claude-haiku-4-5"), "sk-mm-limited-0000000000001")
    assert allowed.status_code == 200


async def test_a_request_may_cap_its_own_cost(mux: Stack, provider: Provider) -> None:
    cap = {"x-modelmuxer-max-cost-usd": "0.000001"}
    async with mux.http(**cap) as http:
        answer = await http.post("/v1/messages", json=ask())
    assert answer.status_code == 402 and not provider.calls
    async with mux.http(**{"x-modelmuxer-max-cost-usd": "much"}) as http:
        assert (await http.post("/v1/messages", json=ask())).status_code == 400


async def test_a_managed_key_works_at_once_and_not_after_it_is_revoked(mux: Stack) -> None:
    async with mux.http("admin") as http:
        made = (await http.post("/v1/admin/keys", json={"name": "ada", "team": "alpha"})).json()
        assert (await post(mux, ask(), made["secret"])).status_code == 200
        gone = await http.delete(f"/v1/admin/keys/{made['key']['id']}")
        assert gone.status_code == 200, gone.text
        for _ in range(50):
            if (await post(mux, ask(), made["secret"])).status_code == 401:
                return
            await asyncio.sleep(0.02)
    raise AssertionError("the revoked key still works")


async def test_members_may_not_administer(mux: Stack) -> None:
    async with mux.http("plain") as http:
        assert (await http.post("/v1/admin/keys", json={"name": "x"})).status_code == 403
        assert (await http.get("/v1/admin/keys")).status_code == 403


async def test_a_paused_team_is_stopped_in_mid_stream(mux: Stack, provider: Provider) -> None:
    provider.script(say("word " * 300, deltas=300, delay=0.05))
    pause = {"scope": "team", "scope_id": "alpha", "reason": "runaway"}
    async with mux.http("admin") as admin, mux.http("plain") as http:
        async with http.stream("POST", "/v1/messages", json=streamed()) as answer:
            lines = answer.aiter_lines()
            async for line in lines:
                if "text_delta" in line:
                    break
            await admin.post("/v1/admin/pauses", json=pause)
            rest = [line async for line in lines]
        refused = await http.post("/v1/messages", json=ask())
        await admin.post("/v1/admin/pauses", json=pause | {"paused": False})
    assert "event: error" in rest and any("runaway" in line for line in rest)
    assert refused.status_code == 403 and refused.headers["x-should-retry"] == "false"
    assert provider.calls[0].outcome == "gone"


async def test_a_silent_provider_is_bridged_by_our_own_pings(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say("at last", first=1.2, deltas=1))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=streamed())
    assert answer.text.count("event: ping") >= 2 and answer.text.startswith("event: ping")
    assert "at last" in answer.text and "message_stop" in answer.text


async def test_the_asked_name_is_echoed_where_that_is_wished(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say("hello", model="claude-sonnet-5-5-20260601")
    async with mux.http() as http:
        whole = await http.post("/v1/messages", json=ask())
        stream = await http.post("/v1/messages", json=streamed())
    assert whole.json()["model"] == "claude-sonnet-5-5"
    assert '"model":"claude-sonnet-5-5"' in stream.text.replace(" ", "")


async def test_a_decision_is_explained_and_judged_by_its_owner_only(mux: Stack) -> None:
    answer = await post(mux, ask("Write a function"), "sk-mm-auto-00000000000000002")
    id = answer.headers["x-modelmuxer-decision-id"]
    async with mux.http("auto") as owner, mux.http("plain") as other:
        found = (await owner.get(f"/v1/decisions/{id}")).json()
        judged = await owner.post(f"/v1/decisions/{id}/feedback", json={"rating": "good"})
        foreign = await other.get(f"/v1/decisions/{id}")
    assert found["candidates"] and found["reason"] and "user_text" not in found["features"]
    assert judged.status_code == 202 and foreign.status_code in (403, 404)


async def test_a_route_is_explained_without_calling_anybody(mux: Stack, provider: Provider) -> None:
    async with mux.http("auto") as http:
        plan = (await http.post("/v1/route", json=ask("What is the capital of Peru?"))).json()
    assert plan["candidates"][0]["model"] and not provider.calls

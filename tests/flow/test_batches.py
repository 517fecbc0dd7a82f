"""Batches and files: masked, reserved at batch price, settled from the results, one's own."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest

from tests.flow.asks import ask
from tests.flow.test_own_faults import answering, gateway
from tests.flow.test_spending import budget, make_key, set_budget, settled
from tests.support.provider import Provider, say
from tests.support.servers import Server, paused
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio


def batch(*texts: str, model: str = "claude-sonnet-5-5") -> list[Any]:
    params = [ask(text, model=model) for text in texts]
    return [{"custom_id": f"r{n}", "params": each} for n, each in enumerate(params)]


async def test_the_official_client_runs_a_batch_and_gets_its_results(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say("done")
    async with mux.sdk() as sdk:
        made = await sdk.messages.batches.create(requests=batch("one", "two"))
        assert made.processing_status == "in_progress"
        assert (await sdk.messages.batches.retrieve(made.id)).processing_status == "ended"
        results = [each async for each in await sdk.messages.batches.results(made.id)]
    assert [each.custom_id for each in results] == ["r0", "r1"]
    assert all(each.result.message.content[0].text == "done" for each in results)


async def test_a_batch_is_settled_at_batch_price_from_its_results(
    mux: Stack, provider: Provider
) -> None:
    before = len(await mux.rows(0))
    async with mux.sdk() as sdk:
        sonnet, haiku = batch("a" * 400), batch("b" * 400, model="claude-haiku-4-5")
        both = [*sonnet, {**haiku[0], "custom_id": "other"}]
        made = await sdk.messages.batches.create(requests=both)
        await sdk.messages.batches.retrieve(made.id)
    rows = (await mux.rows(before + 2))[before:]
    assert {row.model for row in rows} == {"claude-sonnet-5-5", "claude-haiku-4-5"}
    assert sum(row.cost for row in rows) == provider.bill.total > 0
    assert all(row.batch and row.reserved >= row.cost for row in rows)


async def test_fetching_the_results_again_books_nothing_twice(
    mux: Stack, provider: Provider
) -> None:
    async with mux.sdk() as sdk:
        made = await sdk.messages.batches.create(requests=batch("once"))
        await sdk.messages.batches.retrieve(made.id)
        for _ in range(3):
            _ = [each async for each in await sdk.messages.batches.results(made.id)]
    await asyncio.sleep(0.3)
    rows = [row for row in await mux.rows(0) if row.batch]
    ids = {row.id for row in rows}
    assert len({row.reservation for row in rows}) == len(ids)


async def test_a_batch_is_masked_and_its_results_are_restored(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say("You said: {{user}}")
    async with mux.sdk("masked") as sdk:
        made = await sdk.messages.batches.create(requests=batch("mail eva.novak@initech.io now"))
        await sdk.messages.batches.retrieve(made.id)
        results = [each async for each in await sdk.messages.batches.results(made.id)]
    assert b"eva.novak" not in provider.calls[0].body and b"PII_EMAIL_" in provider.calls[0].body
    assert "eva.novak@initech.io" in results[0].result.message.content[0].text


async def test_a_batch_of_another_key_is_not_found(mux: Stack) -> None:
    async with mux.sdk() as sdk, mux.http("auto") as other:
        made = await sdk.messages.batches.create(requests=batch("mine"))
        for path in ("", "/results"):
            answer = await other.get(f"/v1/messages/batches/{made.id}{path}")
            assert answer.status_code == 404, answer.text
        listed = (await other.get("/v1/messages/batches")).json()["data"]
        mine = [each.id async for each in sdk.messages.batches.list()]
    assert made.id in mine and made.id not in [each["id"] for each in listed]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "requests"),
        ({"requests": []}, "requests"),
        ({"requests": [{"custom_id": "a"}]}, "params"),
        ({"requests": batch("x") * 2}, "custom_id"),
        ({"requests": batch("x", model="gpt-6.1-terra")}, "cannot be batched"),
        ({"requests": [{"custom_id": "a", "params": {"model": "m"}}]}, "max_tokens"),
    ],
)
async def test_a_wrong_batch_names_its_field(mux: Stack, body: Any, words: str) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/messages/batches", json=body)
    assert answer.status_code in (400, 404) and words in answer.json()["error"]["message"]


async def test_a_batch_that_is_not_taken_frees_what_was_reserved(mux: Stack) -> None:
    before = len(await mux.rows(0))
    sonnet, haiku = batch("a")[0], batch("b", model="claude-haiku-4-5")[0]
    both = [sonnet, {"custom_id": "other", "params": haiku["params"] | {"messages": ["hi"]}}]
    async with mux.http() as http:
        answer = await http.post("/v1/messages/batches", json={"requests": both})
    assert answer.status_code == 400, answer.text
    rows = (await mux.rows(before + 2))[before:]
    assert [row.reservation for row in rows] == [f"{rows[0].request_id}.{n}" for n in (1, 2)]
    assert all(row.reserved > 0 and row.cost == 0 for row in rows)


async def test_a_batch_that_nobody_could_reserve_leaves_nothing_reserved(
    mux: Stack, stores: tuple[Server, Server]
) -> None:
    key = await make_key(mux)
    async with mux.http(**{"x-api-key": key["secret"]}) as http:
        await set_budget(http, "500")
        await http.post("/v1/messages", json=ask())
        with paused(stores[1]):
            answer = await http.post("/v1/messages/batches", json={"requests": batch("a")})
        assert answer.status_code == 503, answer.text
        await settled(http)


class Silent(httpx.AsyncBaseTransport):
    """Takes a request and says nothing."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("nothing was said")


async def test_a_batch_that_may_have_been_taken_stays_reserved(mux: Stack) -> None:
    secret = str((await make_key(mux))["secret"])
    before = len(await mux.rows(0))
    async with gateway(mux, answering(Silent())) as http, mux.http(**{"x-api-key": secret}) as own:
        await set_budget(own, "500")
        http.headers["x-api-key"] = secret
        answer = await http.post("/v1/messages/batches", json={"requests": batch("a")})
        assert answer.status_code == 502, answer.text
        await asyncio.sleep(0.3)
        assert float((await budget(own))["reserved"]) > 0
    assert len(await mux.rows(0)) == before


class TakenAndForgotten(httpx.AsyncBaseTransport):
    """Takes a batch, and from then on Redis is away."""

    def __init__(self, redis: Server) -> None:
        self._redis, self.away = redis, contextlib.ExitStack()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.away.enter_context(paused(self._redis))
        return httpx.Response(200, json={"id": "msgbatch_1", "type": "message_batch"})


async def test_a_batch_that_was_taken_is_told_and_stays_reserved_though_it_cannot_be_kept(
    mux: Stack, stores: tuple[Server, Server], caplog: pytest.LogCaptureFixture
) -> None:
    secret = str((await make_key(mux))["secret"])
    provider = TakenAndForgotten(stores[1])
    async with gateway(mux, answering(provider)) as http, mux.http(**{"x-api-key": secret}) as own:
        await set_budget(own, "500")
        http.headers["x-api-key"] = secret
        with provider.away:
            answer = await http.post("/v1/messages/batches", json={"requests": batch("a")})
        assert (answer.status_code, answer.json()["id"]) == (200, "msgbatch_1")
        assert float((await budget(own))["reserved"]) > 0
    assert "batch msgbatch_1 runs" in caplog.text


async def test_files_pass_and_belong_to_the_key_that_sent_them(mux: Stack) -> None:
    async with mux.http() as http, mux.http("auto") as other:
        made = await http.post("/v1/files", files={"file": ("a.txt", b"hello", "text/plain")})
        path = f"/v1/files/{made.json()['id']}"
        assert b"hello" in (await http.get(f"{path}/content")).content
        assert (await other.get(path)).status_code == 404
        assert (await other.get("/v1/files")).json()["data"] == []
        assert (await http.delete(path)).json()["type"] == "file_deleted"

"""What leaves is masked at every door, and what happens when pii is gone in the middle of it."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flow.asks import ask, streamed
from tests.support.provider import Provider, say
from tests.support.servers import Server
from tests.support.stack import Stack, process_stack

pytestmark = pytest.mark.anyio
MAIL = "ada.lovelace@gmx.net"
SCAN = "/v1/pii/scan"
Killed = tuple[httpx.Response, int, str]
# A second's work for pii.
LONG = "password=" * 60_000
EMBEDDING = """
[providers.openai]
api_key = "sk-proj-made-up-000000000000"
base_url = "{stand_in}/v1"
"""


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": EMBEDDING}


async def post(mux: Stack, path: str, body: Any, key: str = "admin") -> httpx.Response:
    async with mux.http(key) as http:
        return await http.post(path, json=body)


async def test_tokens_are_counted_on_masked_text(mux: Stack, provider: Provider) -> None:
    body = ask(f"Mail {MAIL}")
    del body["max_tokens"]
    answer = await post(mux, "/v1/messages/count_tokens", body, "masked")
    assert answer.status_code == 200 and answer.json()["input_tokens"] > 0
    sent = provider.calls[-1]
    assert sent.path == "/v1/messages/count_tokens"
    assert MAIL.encode() not in sent.body and b"PII_EMAIL_" in sent.body


@pytest.mark.parametrize("body", [ask(f"Mail {MAIL}"), streamed(f"Mail {MAIL}")])
async def test_placeholders_that_a_model_makes_up_are_counted(
    mux: Stack, provider: Provider, body: dict[str, Any]
) -> None:
    provider.script(say("Is it PII_EMAIL_0000000000, or {{user}}?"))
    before = await unknown(mux)
    answer = await post(mux, "/v1/messages", body, "masked")
    assert "PII_EMAIL_0000000000" in answer.text and MAIL in answer.text
    assert await unknown(mux) == before + 1


async def unknown(mux: Stack) -> float:
    async with mux.http() as http:
        lines = (await http.get("/metrics")).text.splitlines()
    return sum(float(x.split()[1]) for x in lines if x.startswith("modelmuxer_pii_unknown_total"))


async def test_texts_to_embed_are_masked(mux: Stack, provider: Provider) -> None:
    body = {"model": "text-embedding-3-small", "input": ["plain", f"Mail {MAIL}"]}
    await post(mux, "/v1/embeddings", body, "masked")
    sent = provider.calls[-1]
    assert sent.path == "/v1/embeddings"
    assert MAIL.encode() not in sent.body and b"PII_EMAIL_" in sent.body and b"plain" in sent.body


async def test_an_administrator_sees_what_would_be_found_and_no_value(mux: Stack) -> None:
    answer = await post(mux, SCAN, {"text": f"Grüße an {MAIL}!"})
    found = answer.json()["findings"]
    assert [(f["type"], f["start"], f["end"]) for f in found] == [("EMAIL", 9, 9 + len(MAIL))]
    assert 0 < found[0]["score"] <= 1 and MAIL not in answer.text


async def test_many_texts_are_answered_in_their_order(mux: Stack) -> None:
    answer = await post(mux, SCAN, {"texts": ["nothing", MAIL, ""]})
    assert [[f["type"] for f in each] for each in answer.json()["texts"]] == [[], ["EMAIL"], []]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "text:"),
        ({"text": "a", "texts": ["b"]}, "text:"),
        ({"text": 1}, "text:"),
        ({"texts": ["a", None]}, "texts:"),
        ({"texts": "a"}, "texts:"),
        ({"texts": ["a"] * 1001}, "texts:"),
        ({"text": "a", "shape": 1}, "shape:"),
    ],
)
async def test_a_scan_that_cannot_be_done_names_the_field(
    mux: Stack, body: dict[str, Any], named: str
) -> None:
    answer = await post(mux, SCAN, body)
    assert answer.status_code == 400 and answer.json()["error"]["message"].startswith(named)


async def test_only_administrators_may_scan(mux: Stack) -> None:
    assert (await post(mux, SCAN, {"text": MAIL}, "masked")).status_code == 403
    async with httpx.AsyncClient(base_url=mux.url) as http:
        assert (await http.post(SCAN, json={"text": MAIL})).status_code == 401


async def killed_while_it_scans(folder: Path, nats: Server, redis: Server, down: str) -> Killed:
    """What a masked request gets whose texts pii had in hand when it was killed."""
    gateway = f'pii_down = "{down}"\ntimeouts.scan = 3.0'
    names = ("ledger", "router", "pii", "gateway")
    async with process_stack(folder, nats, redis, names, gateway=gateway) as mux:
        async with mux.http("masked") as http:
            sending = asyncio.ensure_future(http.post("/v1/messages", json=ask(LONG)))
            await asyncio.sleep(0.4)
            assert not sending.done() and not mux.provider.messages
            mux.stop("pii", signal.SIGKILL)
            answer = await sending
            counted = (await http.get("/metrics")).text
        return answer, len(mux.provider.messages), counted


@pytest.mark.slow
async def test_pii_killed_in_the_middle_of_a_request_lets_nothing_out(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    answer, sent, counted = await killed_while_it_scans(tmp_path, nats, redis, "closed")
    assert answer.status_code == 503 and "retry-after" in answer.headers
    assert "pii" in answer.json()["error"]["message"]
    assert sent == 0 and "modelmuxer_pii_open_total 0.0" in counted


@pytest.mark.slow
async def test_pii_killed_in_the_middle_of_a_request_lets_it_pass_where_told_to(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    answer, sent, counted = await killed_while_it_scans(tmp_path, nats, redis, "open")
    assert answer.status_code == 200 and sent == 1
    assert "modelmuxer_pii_open_total 1.0" in counted


@pytest.mark.slow
@pytest.mark.parametrize("down", ["closed", "open"])
async def test_pii_killed_in_the_middle_of_an_answer_ends_it_or_lets_it_pass(
    tmp_path: Path, nats: Server, redis: Server, down: str
) -> None:
    settings = {"gateway": f'pii_down = "{down}"\ntimeouts.scan = 2.0'}
    settings["more"] = '[pii]\noutput = "mask"'
    names = ("ledger", "router", "pii", "gateway")
    async with process_stack(tmp_path, nats, redis, names, **settings) as mux:
        mux.provider.always = say("some words. " * 150 + f"Mail {MAIL}", deltas=90, delay=0.03)
        async with mux.http("masked") as http:
            sending = asyncio.ensure_future(
                http.post("/v1/messages", json=streamed(max_tokens=4000))
            )
            await mux.provider.arrived()
            await asyncio.sleep(1.0)
            mux.stop("pii", signal.SIGKILL)
            answer = (await sending).text
    assert answer.count("some words.") > 10
    assert (MAIL in answer and "message_stop" in answer) is (down == "open")
    assert answer.count("event: error") == (0 if down == "open" else 1)

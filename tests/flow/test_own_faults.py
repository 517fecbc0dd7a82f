"""What breaks in the gateway itself: an error in the client's shape, and nothing stays reserved."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import msgspec
import pytest

from libs.common.bus import Bus
from libs.common.contracts.usage import Tokens
from libs.common.prices import PriceData, PriceTable
from libs.common.settings.load import load
from services.gateway.app import make_app
from services.gateway.kit import Kit
from services.gateway.main import open_kit
from services.gateway.simulator import Simulator
from services.gateway.upstream import Upstreams
from tests.flow.asks import SMALL, ask
from tests.flow.test_refusals import shaped
from tests.flow.test_spending import set_budget, settled
from tests.support.stack import KEYS, Stack

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"providers": ""}


class Broken(httpx.AsyncBaseTransport):
    """Fails as no provider does: where nothing in the gateway expects it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError("a fault of ours")


class Breaks(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for event in self._stream:
            if b"message_delta" in event:
                raise ZeroDivisionError("a fault of ours")
            yield event


class BreaksInTheMiddle(Simulator):
    """Answers, until it ends."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        return httpx.Response(200, headers=answer.headers, stream=Breaks(answer.stream))


@contextlib.asynccontextmanager
async def gateway(mux: Stack, change: Callable[[Kit], Kit]) -> AsyncIterator[httpx.AsyncClient]:
    """One more gateway of the stack, with a part exchanged."""
    loaded = load(str(mux.config), environ={})
    nats = msgspec.structs.replace(loaded.settings.nats, url=loaded.settings.nats_url)
    bus = await Bus.connect(nats, "gateway")
    try:
        async with contextlib.AsyncExitStack() as opened:
            app = make_app(change(await open_kit(opened, bus, loaded)))
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            headers = {"x-api-key": KEYS["plain"]}
            base = f"http://127.0.0.1:{mux.port}"
            yield await opened.enter_async_context(
                httpx.AsyncClient(transport=transport, base_url=base, headers=headers)
            )
            await bus.stop_serving()
    finally:
        await bus.close()


def answering(transport: httpx.AsyncBaseTransport) -> Callable[[Kit], Kit]:
    upstreams = Upstreams(lambda url: transport, transport)
    return lambda kit: msgspec.structs.replace(kit, upstreams=upstreams)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_of_ours_while_sending_is_an_error_in_shape_and_books_what_may_be_billed(
    mux: Stack, stream: bool
) -> None:
    before = len(await mux.rows(0))
    async with gateway(mux, answering(Broken())) as http:
        answer = await http.post("/v1/messages", json=ask(stream=stream))
    shaped(answer, 500, "api_error")
    (row,) = (await mux.rows(before + 1))[before:]
    assert (row.status, row.error, row.billed) == (500, "internal", False)
    assert row.reservation == f"{row.request_id}.1" and 0 < row.cost <= row.reserved
    assert row.tokens == Tokens(input=row.tokens.input)


async def test_after_a_fault_of_ours_nothing_stays_reserved(mux: Stack) -> None:
    async with mux.http() as plain:
        await set_budget(plain, "5")
        async with gateway(mux, answering(Broken())) as http:
            for stream in (False, True):
                await http.post("/v1/messages", json=ask(stream=stream))
        await settled(plain)


async def test_a_fault_of_ours_has_one_line_beside_its_id(
    mux: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with gateway(mux, answering(Broken())) as http:
        answer = await http.post("/v1/messages", json=ask())
    lines = [record.getMessage() for record in caplog.records if "modelmuxer." in record.name]
    assert len(lines) == 1 and " 500 internal" in lines[0]
    assert f"{answer.headers['x-modelmuxer-request-id']} failed" in caplog.messages


async def test_a_fault_between_reserving_and_sending_frees_the_reservation(mux: Stack) -> None:
    before = len(await mux.rows(0))
    async with gateway(mux, lambda kit: msgspec.structs.replace(kit, spans=None)) as http:
        masked = {"x-api-key": KEYS["masked"]}
        answer = await http.post("/v1/messages", json=SMALL, headers=masked)
    shaped(answer, 500, "api_error")
    (row,) = (await mux.rows(before + 1))[before:]
    assert (row.outcome, row.error, row.reservation) == (
        "refused",
        "internal",
        f"{row.request_id}.1",
    )


async def test_a_stream_that_we_break_ends_with_an_error_event_and_is_booked(mux: Stack) -> None:
    before = len(await mux.rows(0))
    async with gateway(mux, answering(BreaksInTheMiddle())) as http:
        answer = await http.post("/v1/messages", json=ask(stream=True))
        chat = await http.post("/v1/chat/completions", json=ask(stream=True))
    assert answer.content.count(b"event: error") == 1 and b"message_stop" not in answer.content
    assert chat.content.count(b'"error":') == 1
    rows = (await mux.rows(before + 2))[before:]
    assert [(row.outcome, row.error) for row in rows] == [("cancelled", "internal")] * 2
    assert all(0 < row.cost <= row.reserved for row in rows)


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_without_a_price_is_given_and_booked_as_reserved(
    mux: Stack, stream: bool
) -> None:
    before = len(await mux.rows(0))
    nothing = PriceTable(PriceData(version="none", providers=()))
    async with gateway(mux, lambda kit: msgspec.structs.replace(kit, prices=nothing)) as http:
        answer = await http.post("/v1/messages", json=ask(stream=stream))
    assert answer.status_code == 200 and b'"error"' not in answer.content
    assert b"message_stop" in answer.content if stream else answer.json()["content"]
    (row,) = (await mux.rows(before + 1))[before:]
    assert row.unpriced and row.cost == row.reserved > 0


@pytest.mark.parametrize(
    "path", ["/v1/messages/count_tokens", "/v1/chat/completions", "/v1/models/x", "/v1/embeddings"]
)
async def test_every_path_tells_a_fault_of_ours_in_its_own_shape_and_logs_the_id_it_told(
    mux: Stack, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broken = {"catalogue": None, "deployments": None, "open_calls": None}
    async with gateway(mux, lambda kit: msgspec.structs.replace(kit, **broken)) as http:
        body = SMALL | ({"input": "hi"} if path.endswith("embeddings") else {})
        answer = await http.request("GET" if "models" in path else "POST", path, json=body)
    assert answer.status_code == 500
    failed = f"{answer.headers['x-modelmuxer-request-id']} failed"
    lines = [line for line in caplog.messages if line.startswith(("req_", "refused"))]
    assert lines == [failed]
    if "chat" in path or "embeddings" in path:
        assert answer.json()["error"]["type"] == "server_error"
    else:
        shaped(answer, 500, "api_error")

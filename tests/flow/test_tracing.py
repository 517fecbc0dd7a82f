"""One trace from the client over every service to the provider."""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.common.test_trace import ID, SPAN, TOLD, collector
from tests.flow.asks import ask
from tests.support.provider import Provider
from tests.support.servers import Server
from tests.support.stack import Stack, process_stack

__all__ = ["collector"]
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("told, passed", [(TOLD, TOLD), ("nonsense", ""), ("", "")])
async def test_a_clients_trace_reaches_the_provider(
    mux: Stack, provider: Provider, told: str, passed: str
) -> None:
    async with mux.http(traceparent=told) as http:
        assert (await http.post("/v1/messages", json=ask("Hello"))).status_code == 200
    assert provider.last.header("traceparent") == passed


@pytest.mark.slow
async def test_every_service_adds_its_spans_to_the_clients_trace(
    tmp_path: Path, nats: Server, redis: Server, collector: tuple[str, list[dict[str, Any]]]
) -> None:
    url, spans = collector
    more = f'[telemetry]\notlp_url = "{url}"\n'
    words = "Write to anna.smith@acme-travel.de"
    async with process_stack(tmp_path, nats, redis, more=more) as place:
        async with place.http("masked", traceparent=TOLD) as http:
            assert (await http.post("/v1/messages", json=ask(words))).status_code == 200
        sent = place.provider.last.header("traceparent")
        deadline = time.monotonic() + 10
        while len(wanted(spans)) < 5 and time.monotonic() < deadline:
            await place.ready()
    found = wanted(spans)
    services = {span["service"].removeprefix("modelmuxer-") for span in found}
    assert services == {"gateway", "pii", "router", "ledger"}
    root = next(span for span in found if span["parentSpanId"] == SPAN)
    call = next(span for span in found if span["name"].startswith("chat "))
    assert root["name"] == "POST /v1/messages" and call["parentSpanId"] == root["spanId"]
    assert sent == f"00-{ID}-{call['spanId']}-01"
    assert "anna" not in str(spans)


def wanted(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [span for span in spans if span["traceId"] == ID]

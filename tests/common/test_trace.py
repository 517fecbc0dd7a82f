"""One trace over HTTP and NATS; spans go to a collector where one is named."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from libs.common import trace
from libs.common.bus import Bus
from libs.common.contracts.base import Done, Nothing, Operation
from libs.common.errors import NotFound
from libs.common.settings.bus import BusSettings
from libs.common.settings.telemetry import TelemetrySettings
from libs.common.trace import SERVER, Tracer, parsed
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TOLD = f"00-{ID}-{SPAN}-01"
LOOK = Operation("test.look.v1", Nothing, Done)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A URL that takes spans, and the spans it took, each with its service."""
    spans: list[dict[str, Any]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for each in body["resourceSpans"]:
                name = each["resource"]["attributes"][0]["value"]["stringValue"]
                for scope in each["scopeSpans"]:
                    spans.extend(span | {"service": name} for span in scope["spans"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", spans
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    "text",
    ["", "x", TOLD.upper(), f"ff-{ID}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", TOLD[:-3],
     f"00-{ID}-{'0' * 16}-01", f"{TOLD}x"],
)  # fmt: skip
def test_what_the_standard_does_not_allow_is_no_trace(text: str) -> None:
    assert parsed(text) is None


def test_a_trace_is_told_on_as_it_came() -> None:
    found = parsed(TOLD, "vendor=1")
    assert found and found.headers() == {"traceparent": TOLD, "tracestate": "vendor=1"}
    unsampled = parsed(TOLD.removesuffix("1") + "0")
    assert unsampled and not unsampled.sampled


async def test_a_question_is_a_part_of_the_askers_trace(
    nats: Server, collector: tuple[str, list[dict[str, Any]]]
) -> None:
    url, spans = collector
    settings = TelemetrySettings(otlp_url=url)
    buses = [await Bus.connect(BusSettings(url=nats.url), name) for name in ("gateway", "router")]
    for bus in buses:
        bus.tracer = Tracer(bus.name, settings)
    gateway, router = buses

    async def look(_: Nothing) -> Done:
        assert trace.headers()
        return Done()

    await router.serve(LOOK, look)
    async with gateway.tracer.sending(), router.tracer.sending():
        with gateway.tracer.inside(parsed(TOLD), "POST /v1/messages", SERVER):
            await gateway.ask(LOOK, Nothing())
    by_service = {span["service"]: span for span in spans}
    first, second = by_service["modelmuxer-gateway"], by_service["modelmuxer-router"]
    assert first["traceId"] == second["traceId"] == ID
    assert (first["parentSpanId"], second["parentSpanId"]) == (SPAN, first["spanId"])
    assert second["name"] == LOOK.subject
    for bus in buses:
        await bus.close()


async def test_an_error_marks_its_span_and_an_absent_collector_harms_nobody() -> None:
    tracer = Tracer("gateway", TelemetrySettings(otlp_url="http://127.0.0.1:1"))
    async with tracer.sending():
        with pytest.raises(NotFound), tracer.inside(None, "x", SERVER) as span:
            raise NotFound("no")
    assert span and span.error == "NotFound"


async def test_what_answers_without_http_costs_spans_and_nothing_else() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"no HTTP\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        tracer = Tracer("gateway", TelemetrySettings(otlp_url=f"http://127.0.0.1:{port}"))
        async with tracer.sending():
            with tracer.inside(None, "x", SERVER):
                pass


async def test_without_a_trace_or_a_collector_nothing_is_made() -> None:
    tracer = Tracer("gateway")
    with tracer.inside(None, "x", SERVER) as span, tracer.calling("y"):
        assert span is None and trace.headers() is None

"""A tiny HTTP listener for probes and Prometheus: /health, /ready, /metrics.

For the services that have no HTTP of their own. Off when `probe_port` is 0.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import REGISTRY
from prometheus_client.exposition import generate_latest

from libs.common.bus import Bus
from libs.common.settings import Settings
from libs.common.telemetry import IN_FLIGHT

TEXT = "text/plain; version=0.0.4; charset=utf-8"
READ_SECONDS = 5


@asynccontextmanager
async def serve_probe(name: str, bus: Bus, settings: Settings) -> AsyncIterator[None]:
    """Liveness answers always; readiness only while the bus is connected."""
    if not settings.probe_port or name == "gateway":
        yield
        return

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = await asyncio.wait_for(reader.readline(), READ_SECONDS)
            writer.write(_reply(line.split(b" ")[1:2], bus))
            await writer.drain()
        except (TimeoutError, OSError, ValueError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, settings.probe_host, settings.probe_port)
    async with server:
        yield


def _reply(path: list[bytes], bus: Bus) -> bytes:
    match path:
        case [b"/health"]:
            return _http("200 OK", b"ok\n")
        case [b"/ready"]:
            ready = bus.connected
            return _http("200 OK", b"ok\n") if ready else _http("503 No bus", b"no bus\n")
        case [b"/metrics"]:
            IN_FLIGHT.set(bus.in_hand)
            return _http("200 OK", generate_latest(REGISTRY))
        case _:
            return _http("404 Not Found", b"try /health, /ready or /metrics\n")


def _http(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {TEXT}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body

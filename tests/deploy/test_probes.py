"""What a kubelet and Prometheus are told: alive whatever is away, ready only with NATS and while
nobody has asked to leave, and how much is in hand."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from libs.common.bus import Bus
from libs.common.contracts.base import Operation
from libs.common.probe import serve_probe
from libs.common.settings import Settings
from libs.common.settings.bus import BusSettings
from tests.support.servers import Server, free_port
from tests.support.stack import process_stack

pytestmark = pytest.mark.anyio


class Word(msgspec.Struct, frozen=True, kw_only=True):
    text: str


WAIT = Operation("test.wait.v1", Word, Word)


async def status(url: str, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient(timeout=5) as http:
        answer = await http.get(url + path)
    return answer.status_code, answer.text


@pytest.fixture
async def bus(nats: Server) -> AsyncIterator[Bus]:
    bus = await Bus.connect(BusSettings(url=nats.url), "router", in_flight=2)
    yield bus
    await bus.close()


async def test_a_service_is_alive_without_nats_and_ready_only_with_it(
    nats: Server, bus: Bus
) -> None:
    settings = Settings(probe_port=free_port())
    url = f"http://127.0.0.1:{settings.probe_port}"
    async with serve_probe("router", bus, settings):
        assert await status(url, "/ready") == (200, "ok\n")
        await asyncio.to_thread(nats.kill, signal.SIGKILL)
        while bus.connected:
            await asyncio.sleep(0.02)
        assert await status(url, "/ready") == (503, "no bus\n")
        assert await status(url, "/health") == (200, "ok\n")


async def test_work_in_hand_counts_what_waits_for_its_turn_too(nats: Server, bus: Bus) -> None:
    settings = Settings(probe_port=free_port())
    may_end = asyncio.Event()

    async def wait(word: Word) -> Word:
        await may_end.wait()
        return word

    async def counted() -> str:
        _, text = await status(f"http://127.0.0.1:{settings.probe_port}", "/metrics")
        return next(line for line in text.splitlines() if line.startswith("modelmuxer_in_flight "))

    await bus.serve(WAIT, wait)
    async with serve_probe("router", bus, settings):
        assert await counted() == "modelmuxer_in_flight 0.0"
        asked = [asyncio.create_task(bus.ask(WAIT, Word(text="hi"))) for _ in range(5)]
        await asyncio.sleep(0.2)
        assert await counted() == "modelmuxer_in_flight 5.0"
        may_end.set()
        await asyncio.gather(*asked)
        assert await counted() == "modelmuxer_in_flight 0.0"


@pytest.mark.slow
async def test_a_gateway_is_alive_and_not_ready_without_nats_and_while_it_drains(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with process_stack(tmp_path, nats, redis, gateway="drain_wait = 2.0") as place:
        assert (await status(place.url, "/ready"))[0] == 200
        await asyncio.to_thread(nats.kill, signal.SIGKILL)
        await asyncio.sleep(0.5)
        away = await status(place.url, "/ready"), await status(place.url, "/health")
        await asyncio.to_thread(nats.start)
        await place.ready()
        leaving = asyncio.create_task(asyncio.to_thread(place.stop, "gateway"))
        await asyncio.sleep(0.5)
        drains = await status(place.url, "/ready"), await status(place.url, "/health")
        assert await leaving == 0
    assert away[0] == (503, '{"status":"no message bus"}') and away[1][0] == 200
    assert drains[0] == (503, '{"status":"draining"}') and drains[1][0] == 200

"""Rolling every part under load: no stream is cut, no request refused, no event lost."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.deploy.balancer import Balancer, balancer
from tests.support.provider import say
from tests.support.servers import Server, free_port
from tests.support.stack import ALL, KEYS, Child, ProcessStack, process_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
STREAMS = 50
SLOW = {"deltas": 40, "delay": 0.1}
TEXT = "A long answer that must arrive whole, to its very last word."
ASK = {"model": "claude-sonnet-4-5", "max_tokens": 200,
       "messages": [{"role": "user", "content": "Tell me."}]}  # fmt: skip
HEADERS = {"x-api-key": KEYS["plain"], "anthropic-version": "2023-06-01"}


class Load:
    """Short requests, one after another, until it is stopped; keeps every status."""

    def __init__(self, url: str, every: float = 0.05) -> None:
        self.url, self.every = url, every
        self.statuses: list[int] = []
        self._stop = asyncio.Event()

    async def run(self) -> None:
        async with httpx.AsyncClient(base_url=self.url, headers=HEADERS, timeout=30) as http:
            while not self._stop.is_set():
                self.statuses.append(await self._one(http))
                await asyncio.sleep(self.every)

    async def _one(self, http: httpx.AsyncClient) -> int:
        try:
            return (await http.post("/v1/messages", json=ASK)).status_code
        except httpx.TransportError:
            return 0

    @property
    def failed(self) -> list[int]:
        return [status for status in self.statuses if status != 200]

    def stop(self) -> None:
        self._stop.set()


@asynccontextmanager
async def under_load(url: str) -> AsyncIterator[Load]:
    load = Load(url)
    task = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.stop()
        await task


async def stream(url: str) -> str:
    """One streamed answer, as text; a cut stream raises."""
    async with (
        httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=60) as http,
        http.stream("POST", "/v1/messages", json=ASK | {"stream": True}) as answer,
    ):
        assert answer.status_code == 200
        return (await answer.aread()).decode()


async def another_gateway(place: ProcessStack, name: str) -> int:
    """One more gateway with the same settings on a port of its own."""
    port = free_port()
    config = place.folder / f"{name}.toml"
    config.write_text(place.config.read_text().replace(f"port = {place.port}", f"port = {port}"))
    child = Child("gateway", config, place.folder / f"{name}.log").start()
    place.children[name] = child
    await child.ready()
    return port


async def retire(place: ProcessStack, balanced: Balancer, name: str, port: int) -> int:
    """SIGTERM, as a rollout does; the balancer learns of it from /ready alone."""
    code = await asyncio.to_thread(place.stop, name)
    balanced.backends.discard(port)
    return code


async def test_rolling_both_gateways_cuts_no_stream_and_refuses_no_request(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with process_stack(tmp_path, nats, redis, gateway="drain_wait = 1.0") as place:
        place.provider.always = say(TEXT, **SLOW)
        second = await another_gateway(place, "gateway-2")
        async with balancer(place.port, second) as balanced:
            url = f"http://127.0.0.1:{balanced.port}"
            streams = [asyncio.create_task(stream(url)) for _ in range(STREAMS)]
            await asyncio.sleep(1.0)
            async with under_load(url) as load:
                codes = await roll(place, balanced, second)
                answers = await asyncio.gather(*streams)
    assert codes == [0, 0]
    assert [a for a in answers if "event: message_stop" not in a] == []
    assert load.statuses and load.failed == []


async def roll(place: ProcessStack, balanced: Balancer, second: int) -> list[int]:
    """A new one, then an old one away; twice: what maxSurge 1, maxUnavailable 0 does."""
    codes = []
    for number, (old, port) in enumerate([("gateway", place.port), ("gateway-2", second)], 3):
        fresh = await another_gateway(place, f"gateway-{number}")
        balanced.backends.add(fresh)
        while fresh not in balanced.ready:
            await asyncio.sleep(0.05)
        codes.append(await retire(place, balanced, old, port))
    return codes


@pytest.mark.parametrize("name", ["router", "pii", "ledger"])
async def test_rolling_a_service_fails_no_request(
    tmp_path: Path, nats: Server, redis: Server, name: str
) -> None:
    async with process_stack(tmp_path, nats, redis) as place, under_load(place.url) as load:
        await asyncio.sleep(0.5)
        await place.start(f"{name}-2").ready()
        code = await asyncio.to_thread(place.stop, name)
        await asyncio.sleep(1.0)
    assert code == 0
    assert len(load.statuses) > 10 and load.failed == []


async def test_restarting_analytics_fails_no_request_and_loses_no_row(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with process_stack(tmp_path, nats, redis) as place:
        async with under_load(place.url) as load:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(place.stop, "analytics")
            await asyncio.sleep(0.5)
            await place.start("analytics").ready()
        rows = await counted(place, len(load.statuses))
    assert load.failed == []
    assert rows == len(load.statuses)


async def test_after_a_redis_restart_requests_are_answered_again_and_money_is_exact(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with process_stack(tmp_path, nats, redis) as place:
        async with under_load(place.url) as load:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(redis.restart)
            await asyncio.sleep(3.0)
        served = load.statuses.count(200)
        booked = await place.booked(place.provider.bill.total)
    assert set(load.failed) <= {503}
    assert load.statuses[-5:] == [200] * 5
    assert served and booked == place.provider.bill.total


@pytest.mark.parametrize("away", [signal.SIGKILL, signal.SIGSTOP], ids=["dead", "silent"])
async def test_services_stopped_while_nats_is_away_leave_in_time_and_with_0(
    tmp_path: Path, nats: Server, redis: Server, away: signal.Signals
) -> None:
    async with process_stack(tmp_path, nats, redis) as place, httpx.AsyncClient() as http:
        await http.post(f"{place.url}/v1/messages", json=ASK, headers=HEADERS)
        assert nats.process
        nats.process.send_signal(away)
        await asyncio.sleep(1.0)
        began = asyncio.get_running_loop().time()
        leaving = (asyncio.to_thread(place.stop, name) for name in place.children)
        codes = await asyncio.gather(*leaving)
        took = asyncio.get_running_loop().time() - began
        nats.process.send_signal(signal.SIGCONT)
    assert codes == [0] * len(ALL)
    assert took < 20


async def counted(place: ProcessStack, requests: int, seconds: float = 45.0) -> int:
    """Requests as analytics reports them; waits until there are so many. What a killed consumer
    had pulled is delivered again after half a minute."""
    found, deadline = -1, asyncio.get_running_loop().time() + seconds
    async with place.http("admin") as http:
        while found != requests and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(httpx.TransportError):
                answer = await http.get("/v1/analytics/costs", params={"days": 1})
                found = answer.json().get("requests", -1)
            await asyncio.sleep(0.2)
    return found

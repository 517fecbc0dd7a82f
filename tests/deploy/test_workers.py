"""`modelmuxer gateway --workers N`: one port, shared work, no worker missing and none left."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.deploy.test_rollout import ASK, HEADERS, SLOW, TEXT, stream
from tests.support.provider import say
from tests.support.servers import Server
from tests.support.stack import ProcessStack, process_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
WORKERS, REQUESTS = 3, 150


@pytest.fixture
async def place(tmp_path: Path, nats: Server, redis: Server) -> AsyncIterator[ProcessStack]:
    settings = f"workers = {WORKERS}\ndrain_wait = 0.5"
    async with process_stack(tmp_path, nats, redis, gateway=settings) as place:
        await shares(place)
        yield place


async def shares(place: ProcessStack, seconds: float = 60.0) -> dict[str, float]:
    """Messages answered by each worker, known by the moment it started; waits for all of them.
    Each connection of its own goes to whichever worker the kernel chooses."""
    found: dict[str, float] = {}
    deadline = time.monotonic() + seconds
    while len(found) < WORKERS:
        assert time.monotonic() < deadline, f"only {len(found)} workers answer"
        async with httpx.AsyncClient(base_url=place.url) as http:
            lines = (await http.get("/metrics")).text.splitlines()
        values = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        (started,) = [value for name, value in values if name == "process_start_time_seconds"]
        answered = [float(v) for n, v in values if n.startswith("modelmuxer_requests_total")]
        found[started] = sum(answered)
    return found


def workers(place: ProcessStack) -> list[int]:
    """The processes besides the first."""
    pid = place.children["gateway"].pid
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


async def request(place: ProcessStack) -> int:
    async with httpx.AsyncClient(base_url=place.url, headers=HEADERS, timeout=30) as http:
        return (await http.post("/v1/messages", json=ASK)).status_code


async def test_workers_share_one_port_and_the_work(place: ProcessStack) -> None:
    assert {await request(place) for _ in range(REQUESTS)} == {200}
    done = await shares(place)
    assert sum(done.values()) >= REQUESTS
    assert min(done.values()) > REQUESTS / WORKERS / 3


async def test_sigterm_drains_every_worker_and_leaves_none(place: ProcessStack) -> None:
    place.provider.always = say(TEXT, **SLOW)
    children = workers(place)
    assert len(children) == WORKERS - 1
    streams = [asyncio.create_task(stream(place.url)) for _ in range(12)]
    await asyncio.sleep(1.5)
    code = await asyncio.to_thread(place.stop, "gateway")
    answers = await asyncio.gather(*streams)
    assert [answer for answer in answers if "event: message_stop" not in answer] == []
    assert code == 0 and all(gone(pid) for pid in children)


async def test_a_killed_worker_is_replaced(place: ProcessStack) -> None:
    victim = workers(place)[0]
    os.kill(victim, signal.SIGKILL)
    while victim in workers(place):
        await asyncio.sleep(0.05)
    assert len(await shares(place)) == WORKERS
    assert victim not in workers(place) and len(workers(place)) == WORKERS - 1
    assert {await request(place) for _ in range(20)} == {200}
    assert f"worker {victim} ended" in place.children["gateway"].log.read_text()


async def test_workers_do_not_outlive_the_first_process(place: ProcessStack) -> None:
    children = workers(place)
    place.stop("gateway", signal.SIGKILL)
    deadline = time.monotonic() + 10
    while not all(gone(pid) for pid in children):
        assert time.monotonic() < deadline, "a worker holds the port"
        await asyncio.sleep(0.1)

"""The load generator: closed-loop connections, one parser each, times taken at the socket.

Run as `python -m scripts.bench.load` with a plan as JSON on standard input; it answers with
one line of JSON. A process of its own, so that its work is nobody else's CPU.
"""

import asyncio
import base64
import json
import sys
import time
from typing import Any, cast

import httptools
import msgspec
import uvloop

from scripts.bench.bodies import SLOT

MARK = b'"text_delta"'
GIVE_UP = 60.0


class Plan(msgspec.Struct, kw_only=True):
    """`count` requests in all, or as many as fit into `seconds`; `body` in base64, each `fresh`:
    with another number in it."""

    port: int
    path: str = "/v1/messages"
    headers: dict[str, str]
    body: str
    connections: int = 1
    seconds: float = 2.0
    count: int = 0
    warm: int = 3
    ramp: float = 0.0
    fresh: bool = True


class Load:
    """What is to be done, and what was measured (in seconds)."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        body = base64.b64decode(plan.body)
        before, self.found, after = body.rpartition(SLOT)
        headers = {"host": f"127.0.0.1:{plan.port}", "content-length": str(len(body))}
        lines = [f"{n}: {v}" for n, v in (headers | plan.headers).items()]
        head = "\r\n".join([f"POST {plan.path} HTTP/1.1", *lines, "", ""]).encode()
        self.before, self.after = head + before, after
        self.number = time.time_ns() // 1000 % 10**8
        self.sent = self.done = self.bad = self.deltas = 0
        self.first_bad = ""
        self.times: list[float] = []
        self.first: list[float] = []
        self.text: list[float] = []
        self.until = 0.0
        self.finished = asyncio.Event()
        self.open = 0

    def request(self) -> bytes:
        self.number += self.plan.fresh
        self.sent += 1
        return self.before + (b"%010d" % (self.number % 10**10)) + self.after

    def wants_more(self) -> bool:
        if self.plan.count:
            return self.sent < self.plan.count
        return time.perf_counter() < self.until

    def report(self, seconds: float) -> dict[str, Any]:
        return {
            "done": self.done,
            "bad": self.bad,
            "first_bad": self.first_bad,
            "seconds": seconds,
            "deltas": self.deltas,
            "total": percentiles(self.times),
            "first": percentiles(self.first),
            "text": percentiles(self.text),
        }


def percentiles(values: list[float]) -> list[float]:
    """p50, p95 and p99 in milliseconds."""
    ordered = sorted(values) or [0.0]
    return [ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1e3 for q in (0.5, 0.95, 0.99)]


class Connection(asyncio.Protocol):
    """Sends a request, reads the answer, and sends the next one."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.reset()

    def reset(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.begun = self.first = self.text = 0.0
        self.deltas, self.tail, self.body = 0, b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.send()

    def send(self) -> None:
        self.reset()
        self.begun = time.perf_counter()
        self.transport.write(self.load.request())

    def data_received(self, data: bytes) -> None:
        self.first = self.first or time.perf_counter()
        self.parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        joined = self.tail + data
        found = joined.count(MARK)
        if found and not self.text:
            self.text = time.perf_counter()
        self.deltas += found
        # A mark cut in two is found with the next piece; one that ends here is not found again.
        self.tail = joined[-(len(MARK) - 1) :]
        if len(self.body) < 400:
            self.body += data

    def on_message_complete(self) -> None:
        load, now = self.load, time.perf_counter()
        status = self.parser.get_status_code()
        if status == 200:
            load.done += 1
            load.times.append(now - self.begun)
            load.first.append(self.first - self.begun)
            if self.text:
                load.text.append(self.text - self.begun)
            load.deltas += self.deltas
        else:
            load.bad += 1
            load.first_bad = load.first_bad or f"{status} {self.body[:300]!r}"
        if load.wants_more():
            asyncio.get_running_loop().call_soon(self.send)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error or self.begun and not self.first:
            self.load.bad += 1
            self.load.first_bad = self.load.first_bad or f"connection lost: {error}"
        self.load.open -= 1
        if not self.load.open:
            self.load.finished.set()


async def run(plan: Plan) -> dict[str, Any]:
    loop = asyncio.get_running_loop()
    if plan.warm:
        warm = Load(msgspec.structs.replace(plan, count=plan.warm, connections=1))
        await _go(loop, warm)
    load = Load(plan)
    start = time.perf_counter()
    load.until = start + plan.seconds
    await _go(loop, load)
    return load.report(time.perf_counter() - start)


async def _go(loop: asyncio.AbstractEventLoop, load: Load) -> None:
    load.open = load.plan.connections
    gap = load.plan.ramp / load.plan.connections
    for _ in range(load.plan.connections):
        await loop.create_connection(lambda: Connection(load), "127.0.0.1", load.plan.port)
        if gap:
            await asyncio.sleep(gap)
    try:
        async with asyncio.timeout(GIVE_UP + load.plan.seconds):
            await load.finished.wait()
    except TimeoutError:
        load.bad += load.open
        load.first_bad = load.first_bad or f"{load.open} connections did not finish"


if __name__ == "__main__":
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    print(json.dumps(uvloop.run(run(plan))))

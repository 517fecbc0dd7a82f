"""`make bench-scale`: what one more replica of each service adds, and the sum for a cluster.

    make bench-scale                          # about five minutes
    make bench-scale ARGS="--write"           # and renew the block in docs/scaling.md

Every part is a process of its own on this machine. First one replica of each works without a
limit: the CPU of every part per request. Then, service by service, each replica is held to the
share of a core that about `--rate` requests a second need, so that one, two and three of them
can be compared although all share the machine's cores. Shares of the work are messages that
nats-server handed to each replica. What a cluster needs is computed from the first table.
"""

import argparse
import asyncio
import base64
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from libs.common.bus import Bus
from libs.common.settings.bus import BusSettings
from scripts.bench.analytics import behind, event
from scripts.bench.bodies import body
from scripts.bench.scale_cluster import ROOT, SERVICES, STORES, Cluster, cluster
from scripts.bench.targets import mock

ASKED = ("gateway", "router", "pii", "ledger")
CONNECTIONS = 30
SETTLE, WARM = 3.0, 1.5
FEW = 1000  # events before those that count
GOAL = 10_000
BUSY = 0.6  # of a core, so that a lost replica's work fits into the others
PAGE = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


@dataclass(frozen=True)
class Step:
    """One service at one number of replicas. `cpu` in ms per request, by part."""

    service: str
    replicas: int
    rate: float
    p50: float
    bad: int
    shares: tuple[float, ...]
    cpu: dict[str, float]


def load(made: Cluster, request: bytes, seconds: float) -> list[dict[str, Any]]:
    """One generator for each gateway, the connections shared out."""
    gateways = made.of("gateway")
    plans = [
        {
            "port": gateway.port,
            "headers": made.headers,
            "body": base64.b64encode(request).decode(),
            "connections": CONNECTIONS // len(gateways),
            "seconds": seconds,
        }
        for gateway in gateways
    ]
    argv = [sys.executable, "-m", "scripts.bench.load"]
    pipe = subprocess.PIPE
    children = [subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe) for _ in plans]
    for child, plan in zip(children, plans, strict=True):
        assert child.stdin
        child.stdin.write(json.dumps(plan).encode())
        child.stdin.close()
        child.stdin = None
    return [json.loads(child.communicate(timeout=seconds + 120)[0]) for child in children]


def step(made: Cluster, service: str, request: bytes, seconds: float) -> Step:
    """Load, and what it cost until the work that follows the answers is done."""
    cpu, handed = made.cpu(), made.delivered()
    found = load(made, request, seconds)
    after = made.delivered()
    time.sleep(SETTLE)
    done = max(1, sum(each["done"] for each in found))
    spent = {name: (value - cpu.get(name, 0.0)) / done * 1e3 for name, value in made.cpu().items()}
    return Step(
        service,
        len(made.of(service)),
        sum(each["done"] / each["seconds"] for each in found),
        max(each["total"][0] for each in found),
        sum(each["bad"] for each in found),
        shares(handed.get(service, {}), after.get(service, {})),
        spent,
    )


def shares(before: dict[int, int], after: dict[int, int]) -> tuple[float, ...]:
    """Each connection's part of the messages of one service, the largest first."""
    taken = [count - before.get(cid, 0) for cid, count in after.items()]
    return tuple(sorted((count / max(1, sum(taken)) for count in taken), reverse=True))


def grow(made: Cluster, service: str, cores: float, asked: argparse.Namespace) -> list[Step]:
    """The same load on one replica and more of a service, each with so much of a core."""
    steps = []
    request = body(asked.size, mail=True)
    made.stop(service)
    for _ in range(asked.replicas):
        made.start(service)
        made.answering()
        load(made, request, WARM)
        made.limit(service, cores)
        steps.append(step(made, service, request, asked.seconds))
        say(f"  {service} x{len(steps)}: {steps[-1].rate:,.0f} requests/s")
    made.stop(service)
    made.start(service)
    made.answering()
    return steps


def consume(made: Cluster, cores: float, asked: argparse.Namespace) -> list[Step]:
    """A backlog of events, taken by one analytics and more on one ClickHouse server."""
    steps = []
    for number in range(1, asked.replicas + 1):
        made.start("analytics")
        asyncio.run(written(made, FEW, number))
        made.limit("analytics", cores)
        cpu, handed = made.cpu(), made.delivered()
        seconds = asyncio.run(written(made, asked.events, number))
        spent = {n: (v - cpu.get(n, 0.0)) / asked.events * 1e3 for n, v in made.cpu().items()}
        parts = shares(handed["analytics"], made.delivered()["analytics"])
        steps.append(Step("analytics", number, asked.events / seconds, 0.0, 0, parts, spent))
        say(f"  analytics x{number}: {steps[-1].rate:,.0f} events/s")
    made.stop("analytics")
    return steps


async def written(made: Cluster, events: int, series: int) -> float:
    """Seconds until so many new events, told as fast as possible, are in ClickHouse."""
    bus = await Bus.connect(BusSettings(url=nats_url(made)), "teller")
    try:
        began = time.perf_counter()
        for number in range(events):
            row = event(number, time.time())
            row = msgspec.structs.replace(row, request_id=f"{row.request_id}-{series}-{events}")
            headers = {"Nats-Msg-Id": row.id}
            await bus.client.publish("usage.v1", msgspec.json.encode(row), headers=headers)
            if number % 1000 == 0:
                await bus.client.flush()
        await bus.client.flush()
        while await behind(bus):  # noqa: ASYNC110  the server does not tell
            await asyncio.sleep(0.05)
        return time.perf_counter() - began
    finally:
        await bus.close()


def nats_url(made: Cluster) -> str:
    line = next(w for w in made.config.read_text().splitlines() if w.startswith("nats_url"))
    return line.split('"')[1]


def report(alone: Step, ingest: Step, grown: Iterable[Step], asked: argparse.Namespace) -> str:
    """Markdown: what was measured, and what follows from it."""
    cores = os.cpu_count() or 1
    lines = [
        f"Measured {time.strftime('%Y-%m-%d', time.gmtime())} on {cores} cores, load "
        f"{os.getloadavg()[0]:.1f}: {asked.size} requests of a key with routing `auto`, masking "
        "and a budget, one value to mask in each.",
        "",
        *_costs(alone, ingest),
        "",
        *_grown(grown),
        "",
        *_cluster(alone, ingest),
    ]
    return "\n".join(lines) + "\n"


def _costs(alone: Step, ingest: Step) -> list[str]:
    lines = ["| part | CPU ms per request |", "|---|---|"]
    spent = costs(alone, ingest)
    lines += [f"| {n} | {spent[n]:.3f} |" for n in (*SERVICES, *STORES) if n in spent]
    return [*lines, f"| sum | {sum(spent.values()):.2f} |"]


def _grown(grown: Iterable[Step]) -> list[str]:
    lines = ["| service | replicas | per second | each adds | share of each | p50 ms | failed |"]
    lines.append("|---|---|---|---|---|---|---|")
    before = 0.0
    for one in grown:
        before = before if one.replicas > 1 else 0.0
        parts = " · ".join(f"{share:.0%}" for share in one.shares)
        p50 = f"{one.p50:.0f}" if one.p50 else ""
        lines.append(f"| {one.service} | {one.replicas} | {one.rate:,.0f} | "
                     f"{one.rate - before:+,.0f} | {parts} | {p50} | {one.bad} |")  # fmt: skip
        before = one.rate
    return lines


def _cluster(alone: Step, ingest: Step) -> list[str]:
    lines = [f"| part | cores at {GOAL:,} requests/s | processes, {BUSY:.0%} busy |"]
    lines.append("|---|---|---|")
    spent = costs(alone, ingest)
    for name in (n for n in (*SERVICES, *STORES) if n in spent):
        busy = spent[name] * GOAL / 1e3
        count = "" if name in STORES else f"{math.ceil(busy / BUSY)}"
        lines.append(f"| {name} | {busy:.1f} | {count} |")
    return lines


def costs(alone: Step, ingest: Step) -> dict[str, float]:
    """CPU ms per request of every part; analytics and its store by the events they took."""
    late = {name: ingest.cpu.get(name, 0.0) for name in ("analytics", "clickhouse")}
    early = {n: ms for n, ms in alone.cpu.items() if n not in late}
    # What nats-server spends on delivering to analytics came with the events; telling them is
    # counted twice, which errs on the safe side.
    early["nats"] += ingest.cpu.get("nats", 0.0)
    return early | late


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="of load, per measurement")
    parser.add_argument("--size", default="1k", choices=("1k", "78k"), help="of a request")
    parser.add_argument("--rate", type=float, default=100.0, help="requests/s for one replica")
    parser.add_argument("--events", type=int, default=40_000, help="for analytics")
    parser.add_argument("--event-rate", type=float, default=5000.0, help="for one analytics")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--clickhouse", default="", help="a server, instead of the stand-in")
    parser.add_argument("--write", action="store_true", help="renew docs/scaling.md")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelmuxer-scale-") as name:
        text = measured(Path(name), asked)
    sys.stdout.write(text)
    if asked.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + text + END + rest.partition(END)[2])
    return 0


def measured(folder: Path, asked: argparse.Namespace) -> str:
    with mock(folder) as upstream, cluster(folder, upstream.port, asked.clickhouse) as made:
        if not made.quota.works:
            say("no control groups here: replicas share the cores, so rates will not grow")
        request = body(asked.size, mail=True)
        load(made, request, WARM)
        alone = step(made, "gateway", request, asked.seconds)
        made.start("analytics")
        asyncio.run(written(made, FEW, 0))  # and what the load before has left
        ingest = one_analytics(made, asked)
        grown: list[Step] = []
        for service in ASKED:
            grown += grow(made, service, alone.cpu[service] * asked.rate / 1e3, asked)
        grown += consume(made, ingest.cpu["analytics"] * asked.event_rate / 1e3, asked)
        return report(alone, ingest, grown, asked)


def one_analytics(made: Cluster, asked: argparse.Namespace) -> Step:
    """What an event costs without a limit; leaves no analytics behind."""
    cpu = made.cpu()
    seconds = asyncio.run(written(made, asked.events, 0))
    time.sleep(SETTLE)
    spent = {n: (v - cpu.get(n, 0.0)) / asked.events * 1e3 for n, v in made.cpu().items()}
    made.stop("analytics")
    return Step("analytics", 1, asked.events / seconds, 0.0, 0, (1.0,), spent)


if __name__ == "__main__":
    sys.exit(main())

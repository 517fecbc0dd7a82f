"""`make bench`: what ModelMuxer adds, side by side with the bare mock and with LiteLLM.

Everything runs on this machine in one go, the targets in turn within each round. CPU is user
and system time of all processes of a target (nats-server, redis and analytics included), work
done after the answers included; `net` leaves out what a target takes when idle. Times in ms,
`+` against the direct row, `first` until the first byte (text, for streams). RSS counts shared
pages in proportion. Ratios of one run are fair; figures of different runs are not comparable.
"""

import argparse
import base64
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from scripts.bench.bodies import body
from scripts.bench.processes import cpu_by_process, memory, name
from scripts.bench.targets import ROOT, Target, litellm, mock, modelmuxer

# Work that follows the answers (booking, inserting) is waited for and counted.
SETTLE = 2.5
IDLE = 8.0
Measured = dict[str, Any]


class Case:
    """One kind of work."""

    def __init__(self, title: str, request: bytes, **plan: Any) -> None:
        self.title, self.request, self.plan = title, request, plan


def cases(seconds: float, count: int, streams: int, mail: bool) -> list[Case]:
    """Latency is taken on one connection, CPU where there is work enough to hide idling."""
    slow, fast = "deltas=200;gap=10;", "deltas=20;gap=500;"
    small, large = body("1k", mail=mail), body("78k", mail=mail)
    return [
        Case("1 KB, one after another", small, seconds=seconds, warm=50),
        Case("1 KB, 32 at once", small, connections=32, count=count),
        Case("78 KB, one after another", large, seconds=seconds),
        Case("78 KB, 8 at once", large, connections=8, count=count // 2),
        Case("1 MB, one after another", body("1m", mail=mail), seconds=seconds),
        Case(
            "SSE, 200 deltas 10 ms apart, 16 at once",
            body("1k", stream=True, order=slow, mail=mail),
            connections=16,
            count=64,
        ),
        Case(
            f"{streams} streams held, 20 deltas 500 ms apart",
            body("1k", stream=True, order=fast, mail=mail),
            connections=streams,
            count=streams,
            ramp=2.0,
            warm=0,
        ),
    ]


def measure(target: Target, case: Case) -> Measured:
    before, start = cpu_by_process(target.roots), time.monotonic()
    plan = {
        "port": target.port,
        "headers": target.headers,
        "body": base64.b64encode(case.request).decode(),
        "fresh": target.fresh,
        **case.plan,
    }
    load = subprocess.run(
        [sys.executable, "-m", "scripts.bench.load"],
        cwd=ROOT,
        input=json.dumps(plan),
        capture_output=True,
        text=True,
        timeout=300,
    )
    if load.returncode:
        raise RuntimeError(load.stderr[-2000:])
    found: Measured = json.loads(load.stdout)
    found["rss"] = memory(target.roots)
    if target.name != "direct":
        time.sleep(SETTLE)
    after = cpu_by_process(target.roots)
    found["idle"] = target.idle * (time.monotonic() - start)
    found["cpu"] = {pid: after[pid] - before.get(pid, 0.0) for pid in after}
    return found


def idle(target: Target) -> float:
    """CPU seconds per second with nothing to do."""
    before = sum(cpu_by_process(target.roots).values())
    time.sleep(IDLE)
    return (sum(cpu_by_process(target.roots).values()) - before) / IDLE


def run(case: Case, targets: Sequence[Target], rounds: int) -> dict[str, list[Measured]]:
    results: dict[str, list[Measured]] = {target.name: [] for target in targets}
    for number in range(rounds):
        shift = number % len(targets)
        for target in [*targets[shift:], *targets[:shift]]:
            results[target.name].append(measure(target, case))
    return results


def table(case: Case, results: dict[str, list[Measured]]) -> Table:
    shown = Table(title=case.title, title_justify="left", title_style="bold", box=box.SIMPLE)
    streams = "SSE" in case.title or "streams" in case.title
    columns = ["", "done", "bad", "p50", "p95", "p99", "+p50", "+p95", "+p99", "first"]
    columns += ["CPU/req", "net", *(["µs/delta", "lost"] if streams else []), "req/s", "RSS MB"]
    for column in columns:
        shown.add_column(column, justify="left" if not column else "right", no_wrap=True)
    direct = _median(results["direct"], "total")
    for title, measured in results.items():
        shown.add_row(title, *_cells(measured, direct, streams, title == "direct"))
    return shown


def _cells(
    measured: list[Measured], direct: list[float], streams: bool, is_direct: bool
) -> list[str]:
    total = _median(measured, "total")
    done = sum(m["done"] for m in measured)
    cpu = sum(sum(m["cpu"].values()) for m in measured)
    net = max(0.0, cpu - sum(m["idle"] for m in measured))
    deltas = sum(m["deltas"] for m in measured)
    added = [a - b for a, b in zip(total, direct, strict=True)]
    first = _median(measured, "text" if streams else "first")[0]
    cells = [str(done), str(sum(m["bad"] for m in measured)), *(f"{t:.2f}" for t in total)]
    cells += ["", "", ""] if is_direct else [f"{t:.2f}" for t in added]
    cells += [f"{first:.2f}", f"{cpu * 1e3 / max(1, done):.2f}"]
    cells.append(f"{net * 1e3 / max(1, done):.2f}")
    if streams:
        expected = 200 if measured[0]["done"] and deltas / max(1, done) > 50 else 20
        cells += [f"{net * 1e6 / max(1, deltas):.0f}", str(expected * done - deltas)]
    rate = statistics.median(m["done"] / m["seconds"] for m in measured)
    return [*cells, f"{rate:.0f}", f"{measured[-1]['rss'] / 2**20:.0f}"]


def _median(measured: list[Measured], key: str) -> list[float]:
    return [statistics.median(values) for values in zip(*(m[key] for m in measured), strict=True)]


def shares(case: Case, target: Target, measured: list[Measured]) -> str:
    """Whose CPU it was, per request."""
    done = max(1, sum(m["done"] for m in measured))
    by_name: dict[str, float] = {}
    for each in measured:
        for pid, seconds in each["cpu"].items():
            by_name[name(pid)] = by_name.get(name(pid), 0.0) + seconds
    parts = sorted(by_name.items(), key=lambda pair: -pair[1])
    words = ", ".join(f"{n} {s * 1e3 / done:.2f}" for n, s in parts if s * 1e3 / done >= 0.01)
    return f"  {target.name}, {case.title}: CPU ms per request by process: {words}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="per measurement")
    parser.add_argument("--requests", type=int, default=2000, help="of a case with many at once")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--streams", type=int, default=500, help="held at once")
    parser.add_argument("--only", default="", help="cases whose title holds this text")
    parser.add_argument("--no-peers", action="store_true", help="leave LiteLLM out")
    parser.add_argument("--no-mail", action="store_true", help="nothing to mask in the requests")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped
    console = Console(width=max(170, Console().width))
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        direct = stack.enter_context(mock(Path(folder)))
        ours = stack.enter_context(modelmuxer(direct.port, Path(folder)))
        peers = []
        if not options.no_peers:
            peers = stack.enter_context(litellm(direct.port, Path(folder)))
        _head(console, bool(peers))
        for target in (*ours, *peers):
            target.idle = idle(target)
            console.print(f"{target.name}: idle it takes {target.idle * 100:.1f} % of a core")
        for case in cases(options.seconds, options.requests, options.streams, not options.no_mail):
            if options.only in case.title:
                _one(console, case, [direct, *ours, *peers], options.rounds)
    return 0


def _head(console: Console, peers: bool) -> None:
    console.print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version[:6]}"
    )
    if not peers:
        console.print("LiteLLM is not installed: `make bench-peers` installs it")


def _one(console: Console, case: Case, targets: list[Target], rounds: int) -> None:
    results = run(case, targets, rounds)
    console.print(table(case, results))
    for target in targets:
        measured = results[target.name]
        bad = next((m["first_bad"] for m in measured if m["first_bad"]), "")
        if bad:
            console.print(f"  {target.name}: first bad answer: {bad}", markup=False)
        if target.name != "direct":
            console.print(shares(case, target, measured), markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())

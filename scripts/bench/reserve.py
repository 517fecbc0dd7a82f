"""What one reservation costs: CPU of the ledger per reserve, and reserves per second.

    python scripts/bench/reserve.py [--seconds 5] [--json]

Starts nats-server, Redis and one ledger as processes of their own, asks from this one, and
reads the CPU time of the ledger's process from the kernel. Then the same with a thousand
budgets and ten thousand managed keys defined.
"""

import argparse
import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from libs.common.bus import Bus  # noqa: E402
from libs.common.contracts.identity import Key, Principal  # noqa: E402
from libs.common.contracts.spending import (  # noqa: E402
    CREATE_KEY,
    RESERVE,
    SET_BUDGET,
    CreateKey,
    Offer,
    Reserve,
    SetBudget,
)
from libs.common.errors import Unavailable  # noqa: E402
from libs.common.settings.bus import BusSettings  # noqa: E402
from tests.support.servers import nats_server, redis_server, running  # noqa: E402

ADMIN = Principal(key_id="key_admin", admin=True)
MEMBER = Principal(key_id="key_member", team="core", user="ann", run="session")
PARALLEL = 64
TICKS = os.sysconf("SC_CLK_TCK")
LEDGER = """
import sys
from libs.common.service import run_forever
from libs.common.settings.load import load
from services.ledger.main import open_service
sys.exit(run_forever("ledger", open_service, load()))
"""


def cpu(pid: int) -> float:
    """Seconds of CPU a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@contextlib.contextmanager
def ledger(folder: Path, nats: str, redis: str) -> Iterator[int]:
    environ = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MODELMUXER_DATA_DIR": str(folder),
        "MODELMUXER_NATS_URL": nats,
        "MODELMUXER_REDIS_URL": redis,
    }
    with (folder / "ledger.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-c", LEDGER], env=environ, cwd=folder, stdout=log, stderr=log
        )
        try:
            yield child.pid
        finally:
            child.terminate()
            child.wait(10)


async def reserve(bus: Bus, id: str) -> None:
    first = Offer(deployment="a", model="m", estimate=3, input_cost=1, output_price=9, max_tokens=9)
    second = Offer(
        deployment="b", model="n", estimate=2, input_cost=1, output_price=9, max_tokens=9
    )
    ask = Reserve(
        request_id=id, attempt=1, principal=MEMBER, offers=(first, second), input_tokens=9
    )
    await bus.ask(RESERVE, ask)


async def measure(bus: Bus, pid: int, name: str, seconds: float) -> dict[str, float]:
    """Ask for so many seconds with 64 in flight."""
    count, end = 0, time.monotonic() + seconds

    async def ask(worker: int) -> None:
        nonlocal count
        while time.monotonic() < end:
            count += 1
            await reserve(bus, f"{name}{worker}.{count}")

    before, start = cpu(pid), time.monotonic()
    await asyncio.gather(*(ask(worker) for worker in range(PARALLEL)))
    spent = time.monotonic() - start
    return {"per_second": count / spent, "cpu_us": (cpu(pid) - before) / count * 1e6}


async def define(bus: Bus, budgets: int, keys: int) -> None:
    """Budgets that apply to the asker's five scopes, and to a great many others."""
    for scope, id in ("org", ""), ("team", "core"), ("user", "ann"), ("key", MEMBER.key_id):
        for window in "daily", "monthly":
            await bus.ask(
                SET_BUDGET,
                SetBudget(principal=ADMIN, scope=scope, scope_id=id, window=window, limit=10**14),  # type: ignore[arg-type]
            )
    gate = asyncio.Semaphore(100)

    async def one(number: int) -> None:
        async with gate:
            if number < budgets:
                ask = SetBudget(
                    principal=ADMIN,
                    scope="user",
                    scope_id=f"u{number}",
                    window="daily",
                    limit=10**9,
                )
                await bus.ask(SET_BUDGET, ask, timeout=20)
            key = Key(id="", name=f"key {number}", user=f"u{number}")
            await bus.ask(CREATE_KEY, CreateKey(principal=ADMIN, key=key), timeout=20)

    await asyncio.gather(*(one(number) for number in range(keys)))


async def bench(folder: Path, seconds: float, budgets: int, keys: int) -> dict[str, object]:
    with (
        running(nats_server(folder / "nats")) as nats,
        running(redis_server(folder / "redis")) as redis,
    ):
        bus = await Bus.connect(BusSettings(url=nats.url), "bench")
        with ledger(folder, nats.url, redis.url) as pid:
            await ready(bus, "few")
            await define(bus, 0, 0)
            await measure(bus, pid, "warm", 1)
            few = await measure(bus, pid, "few", seconds)
            await define(bus, budgets, keys)
        with ledger(folder, nats.url, redis.url) as pid:
            await ready(bus, "many")
            await measure(bus, pid, "warm again", 1)
            many = await measure(bus, pid, "many", seconds)
        await bus.close()
    return {"8 budgets": few, f"{budgets} budgets, {keys} keys": many}


async def ready(bus: Bus, id: str) -> None:
    for _ in range(200):
        with contextlib.suppress(Unavailable):
            await reserve(bus, f"first {id}")
            return
        await asyncio.sleep(0.05)
    raise SystemExit("the ledger did not start")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--budgets", type=int, default=1000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(bench(Path(folder), options.seconds, options.budgets, options.keys))
    if options.json:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        assert isinstance(figure, dict)
        print(f"{name:>28}: {figure['per_second']:7.0f} reserves/s, {figure['cpu_us']:6.0f} µs CPU")


if __name__ == "__main__":
    try:
        import uvloop

        uvloop.install()
    except ImportError:
        pass
    main()

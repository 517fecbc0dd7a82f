"""Three ledgers, two gateways, NATS and Redis as processes, killed with -9 in the middle."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from libs.common.bus import Bus
from libs.common.contracts.spending import SET_BUDGET, SetBudget
from libs.common.errors import MuxError
from libs.common.settings.bus import BusSettings
from services.ledger import names
from services.ledger.checking import Checked, check, distinct
from services.ledger.store import AWAY, open_store
from tests.ledger.gateway_process import PRICE, principal
from tests.support.servers import Server, nats_server, redis_server, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
SEEDS = range(int(os.environ.get("SEEDS", "20")))
CALLS, ROOM = 100, 60
LEDGER = """
import sys
from libs.common.service import run_forever
from libs.common.settings.load import load
from services.ledger.main import open_service
sys.exit(run_forever("ledger", open_service, load()))
"""


class Process:
    """A child that can be killed with -9 and started again as it was."""

    def __init__(self, argv: list[str], folder: Path, **environ: str) -> None:
        self.argv, self.folder = argv, folder
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), **environ}
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, *self.argv],
                env=self.environ,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def kill(self, sign: int = signal.SIGKILL) -> None:
        if self.child.poll() is None:
            self.child.send_signal(sign)
            self.child.wait(20)


@contextmanager
def system(folder: Path) -> Iterator[tuple[Server, Server, list[Process]]]:
    with (
        running(nats_server(folder / "nats")) as nats,
        running(redis_server(folder / "redis")) as redis,
        ExitStack() as stack,
    ):
        ledgers = []
        for number in range(3):
            data = folder / f"ledger{number}"
            ledger = Process(
                ["-c", LEDGER],
                data,
                MODELMUXER_DATA_DIR=str(data),
                MODELMUXER_NATS_URL=nats.url,
                MODELMUXER_REDIS_URL=redis.url,
                MODELMUXER_LEDGER__SWEEP_EVERY="0.5",
            )
            stack.callback(ledger.kill)
            ledgers.append(ledger)
        yield nats, redis, ledgers


async def test_sums_agree_to_the_micro_dollar_whatever_is_killed(tmp_path: Path) -> None:
    with system(tmp_path) as (nats, redis, ledgers):
        bus = await Bus.connect(BusSettings(url=nats.url), "test")
        reconciled = billed = 0
        for seed in SEEDS:
            folder = tmp_path / f"seed{seed}"
            folder.mkdir()
            await set_budget(bus, seed)
            gateways = start_gateways(folder, nats, seed)
            await disturb(random.Random(seed), nats, redis, ledgers, gateways)
            for gateway in gateways:
                gateway.child.wait(60)
            found, spent = await settled(bus, redis, seed)
            assert found.differences == ()
            guessed, told = await agrees(bus, folder, seed, spent)
            reconciled, billed = reconciled + guessed, billed + told
        sys.stdout.write(f"\n{len(SEEDS)} seeds: {billed} billed rows, {reconciled} reconciled\n")
        await bus.close()


async def set_budget(bus: Bus, seed: int) -> None:
    admin = principal(seed).__class__(key_id="admin", org=f"org{seed}", admin=True)
    ask = SetBudget(
        principal=admin, scope="team", scope_id="core", window="total", limit=ROOM * PRICE
    )
    for _ in range(200):
        try:
            await bus.ask(SET_BUDGET, ask)
            return
        except MuxError:
            await asyncio.sleep(0.1)
    raise AssertionError("no budget could be set")


def start_gateways(folder: Path, nats: Server, seed: int) -> list[Process]:
    script = str(ROOT / "tests/ledger/gateway_process.py")
    halves = (0, CALLS // 2), (CALLS // 2, CALLS)
    return [
        Process(
            [script, nats.url, str(folder / f"gateway{first}"), str(seed), str(first), str(last)],
            folder / f"gateway{first}",
        )
        for first, last in halves
    ]


async def disturb(
    draw: random.Random,
    nats: Server,
    redis: Server,
    ledgers: list[Process],
    gateways: list[Process],
) -> None:
    """Kill a ledger, a gateway, NATS and Redis, in any order, at any moment."""
    victims: list[Server | Process] = [draw.choice(ledgers), draw.choice(gateways), nats, redis]
    draw.shuffle(victims)
    await asyncio.sleep(0.3)
    for victim in victims:
        await asyncio.sleep(draw.uniform(0, 0.4))
        victim.kill()
        await asyncio.sleep(draw.uniform(0, 0.3))
        victim.start()


async def settled(bus: Bus, redis: Server, seed: int) -> tuple[Checked, int]:
    """Wait until no reservation is open and the book agrees with the journal."""
    org, deadline = f"org{seed}", time.monotonic() + 40
    async with open_store(redis.url, 2.0) as store:
        while True:
            try:
                found = await check(bus, store, time.time)
                open_calls = await store.redis.zcard(names.tenant(org, "open"))
                spent = await store.redis.hget(names.tenant(org, "at", "team", "core"), "t0")
                if not open_calls and not found.differences or time.monotonic() > deadline:
                    return found, int(spent or 0)
            except (*AWAY, MuxError):
                assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


async def agrees(bus: Bus, folder: Path, seed: int, spent: int) -> tuple[int, int]:
    """Book, rows and the provider's bill; returns how many rows were guesses, and how many not."""
    rows = {id: r for id, r in (await distinct(bus)).items() if r.principal.org == f"org{seed}"}
    bills = dict(line.split() for line in lines(folder, "bill.txt"))
    told = [row for row in rows.values() if row.outcome != "reconciled"]
    guesses = [row for row in rows.values() if row.outcome == "reconciled"]
    assert sum(row.cost for row in rows.values()) == spent <= ROOM * PRICE
    assert all(row.cost == int(bills[row.request_id]) for row in told)
    assert all(row.cost <= PRICE for row in guesses)
    assert set(bills) <= {row.request_id for row in rows.values()}
    assert not lines(folder, "unanswered.txt")
    return len(guesses), len(told)


def lines(folder: Path, name: str) -> list[str]:
    return [line for file in folder.glob(f"*/{name}") for line in file.read_text().splitlines()]

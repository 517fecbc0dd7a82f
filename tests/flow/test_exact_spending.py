"""Money is exact through the whole product: two gateways, three ledgers and every other part as
processes of their own, killed with -9 in the middle, against a provider with its own bill.

Every call costs exactly what is reserved for it (the stand-in bills the worst case), so a budget
has room for a known number of calls, and a single lost or doubled micro-dollar shows.
"""

import asyncio
import contextlib
import json
import os
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.common.bus import Bus
from libs.common.contracts.usage import USED, Usage
from libs.common.replay import replay
from libs.common.settings.bus import BusSettings
from tests.support.provider import Line, Scene, say
from tests.support.servers import Server
from tests.support.stack import ALL, KEYS, ProcessStack, process_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SEEDS = range(int(os.environ.get("SEEDS", "20")))
CALLS, ROOM = 200, 60
LEDGERS = ("ledger", "ledger-2", "ledger-3")
GATEWAYS = ("gateway", "gateway-2")
# A row in flight to a journal that is killed is spooled after so long.
ACKS = "[journal]\nack_timeout = 1.0\n"
# An unsettled reservation expires a minute after the longest answer. The rest is longer than by
# default, since the machine has ten processes to run besides two hundred clients.
TIMEOUTS = "[gateway.timeouts]\nconnect = 15.0\ntotal = 20.0\nroute = 3.0\nreserve = 3.0\n"
EXPIRY_SECONDS = 20 + 60 + 45
ASK: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 300,
    "messages": [{"role": "user", "content": "Tell me a story."}],
}
OUTPUT_PRICE, DEAREST_INPUT_PRICE = 15, 6


def key_of(seed: int) -> str:
    return f"sk-mm-seed-of-chance-{seed:06d}"


def keys() -> str:
    """A key for each seed, alone in its team; the last is that of the undisturbed run."""
    rows = (
        f'[keys.seed{n}]\nkey = "{key_of(n)}"\nteam = "seed{n}"\nrouting = "respect"\n'
        for n in range(len(SEEDS) + 1)
    )
    return "".join(rows)


@dataclass
class Answer:
    """What a client got: `status` 0 for a broken connection or a stream cut short, `id` the
    provider's own for the call."""

    gateway: str
    status: int
    id: str = ""


@dataclass
class Run:
    """What one seed has done, and what it left in the books."""

    seed: int
    answers: list[Answer] = field(default_factory=list)
    bill: list[Line] = field(default_factory=list)
    killed: dict[str, int] = field(default_factory=dict)

    def count(self, *statuses: int) -> int:
        return sum(answer.status in statuses for answer in self.answers)


@dataclass
class Product:
    """The processes, and the price of a call."""

    stack: ProcessStack
    urls: dict[str, str]
    price: int

    @property
    def limit(self) -> int:
        return ROOM * self.price + self.price - 1


@pytest.fixture(scope="module")
async def product(place: Path, stores: tuple[Server, Server]) -> AsyncIterator[Product]:
    options = {"gateway": TIMEOUTS, "more": keys() + ACKS}
    async with process_stack(place, *stores, names=[*ALL, *LEDGERS[1:]], **options) as stack:
        port = await stack.another_gateway("gateway-2")
        urls = {"gateway": stack.url, "gateway-2": f"http://127.0.0.1:{port}"}
        yield Product(stack, urls, await worst_case(stack))


async def worst_case(stack: ProcessStack) -> int:
    """What is reserved for a call; from now on the provider bills just that."""
    async with stack.http() as http:
        assert (await http.post("/v1/messages", json=ASK)).status_code == 200
    price = (await stack.rows(1))[0].reserved
    tokens, rest = divmod(price - OUTPUT_PRICE * ASK["max_tokens"], DEAREST_INPUT_PRICE)
    assert rest == 0
    stack.provider.always = dearest(tokens)
    return price


def dearest(tokens: int) -> Scene:
    usage = {"input": 0, "write_1h": tokens, "output": ASK["max_tokens"]}
    return say("Once upon a time there was a budget.", deltas=8, delay=0.05, usage=usage)


async def test_with_room_for_n_exactly_n_of_two_hundred_are_admitted(product: Product) -> None:
    run = Run(len(SEEDS))
    await set_budget(product, run.seed)
    await ask_all(product, run, within=0.0)
    spent = await settled(product, run.seed)
    rows = [row for row in await journal(product) if row.principal.team == team(run) and row.cost]
    assert Counter(answer.status for answer in run.answers) == {200: ROOM, 402: CALLS - ROOM}
    assert spent == sum(row.cost for row in rows) == ROOM * product.price
    assert sum(line.cost for line in run.bill) == spent
    assert await counted(product, {team(run): spent}) == {team(run): spent}


async def test_with_parts_killed_in_the_middle_every_sum_is_equal(product: Product) -> None:
    runs = [await disturbed(product, seed) for seed in SEEDS]
    booked = {team(run): await settled(product, run.seed) for run in runs}
    rows = await journal(product)
    found = await counted(product, booked)
    faults = []
    for run in runs:
        mine = [row for row in rows if row.principal.team == team(run)]
        tell(run, mine, booked[team(run)], found.get(team(run), 0))
        faults += checked(product, run, mine, booked[team(run)], found.get(team(run), 0))
    assert not faults


async def disturbed(product: Product, seed: int) -> Run:
    """Two hundred calls within a second, and meanwhile four kills in any order."""
    run = Run(seed)
    await set_budget(product, seed)
    kills = asyncio.create_task(kill_in_the_middle(product, run, random.Random(seed)))
    await ask_all(product, run, within=1.2)
    await kills
    for url in product.urls.values():
        await told(url)
    return run


async def told(url: str) -> None:
    """Until a gateway has nothing left to tell: the next seed may kill it."""
    deadline = time.monotonic() + 40
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                text = (await http.get("/metrics")).text
                left = re.findall(r"^modelmuxer_outbox_\w+ (\S+)$", text, re.M)
                if len(left) == 2 and not any(map(float, left)):
                    return
            await asyncio.sleep(0.05)
    raise AssertionError(f"{url} has rows that it cannot tell")


async def ask_all(product: Product, run: Run, within: float) -> None:
    draw, before = random.Random(f"{run.seed} clients"), len(product.stack.provider.bill.lines)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"x-api-key": key_of(run.seed), "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(headers=headers, timeout=30, limits=limits) as http:
        calls = (
            call(http, product, GATEWAYS[n % 2], draw.uniform(0, within), n % 4 < 2)
            for n in range(CALLS)
        )
        run.answers = await asyncio.gather(*calls)
    await product.stack.provider.idle()
    run.bill = product.stack.provider.bill.lines[before:]


async def call(
    http: httpx.AsyncClient, product: Product, gateway: str, after: float, stream: bool
) -> Answer:
    """One call; a client that waits for ever fails the test with httpx.ReadTimeout."""
    await asyncio.sleep(after)
    url = f"{product.urls[gateway]}/v1/messages"
    try:
        answer = await http.post(url, json=ASK | {"stream": stream})
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        return Answer(gateway, 0)
    cut = stream and answer.status_code == 200 and "event: message_stop" not in answer.text
    return Answer(gateway, 0 if cut else answer.status_code, answer.headers.get("request-id", ""))


async def kill_in_the_middle(product: Product, run: Run, draw: random.Random) -> None:
    stack = product.stack
    victims: list[str | Server] = [draw.choice(LEDGERS), draw.choice(GATEWAYS)]
    victims += [stack.nats, stack.redis]
    draw.shuffle(victims)
    await asyncio.sleep(0.1)
    for victim in victims:
        await asyncio.sleep(draw.uniform(0, 0.4))
        if isinstance(victim, Server):
            name = "nats" if victim is stack.nats else "redis"
            run.killed[name] = victim.pid
            await asyncio.to_thread(victim.kill)
            await asyncio.sleep(draw.uniform(0, 0.3))
            await asyncio.to_thread(victim.start)
        else:
            run.killed[victim] = stack.children[victim].pid
            await asyncio.to_thread(stack.children[victim].stop, signal.SIGKILL)
            stack.children[victim].start()


async def set_budget(product: Product, seed: int) -> None:
    """Once every part answers again, through both gateways."""
    body = {"budget_type": "total", "budget_limit": f"{product.limit / 1e6:.6f}"}
    body |= {"scope": "team", "scope_id": f"seed{seed}"}
    for url in product.urls.values():
        await until_answered(url, "POST", "/v1/analytics/budgets", KEYS["admin"], body)


async def settled(product: Product, seed: int) -> int:
    """What the book says is spent, once nothing is reserved any more."""
    deadline = time.monotonic() + EXPIRY_SECONDS
    while True:
        found = await until_answered(
            product.urls["gateway"], "GET", "/v1/analytics/budgets", key_of(seed)
        )
        budget = found["budgets"][0]
        if float(budget["reserved"]) == 0 or time.monotonic() > deadline:
            assert float(budget["reserved"]) == 0, f"seed {seed}: still reserved: {budget}"
            return micro(budget["spent"])
        await asyncio.sleep(0.5)


async def counted(product: Product, expected: dict[str, int]) -> dict[str, int]:
    """The cost of each team by ClickHouse, once it is as expected, or at last."""
    deadline, path = time.monotonic() + 60, "/v1/analytics/costs?days=2&group_by=team"
    while True:
        told = await until_answered(product.urls["gateway"], "GET", path, KEYS["admin"])
        found = {group["team"]: micro(group["cost"]) for group in told["groups"]}
        if expected.items() <= found.items() or time.monotonic() > deadline:
            return {team: found.get(team, 0) for team in expected}
        await asyncio.sleep(0.5)


async def until_answered(
    url: str, method: str, path: str, key: str, body: dict[str, Any] | None = None
) -> Any:
    deadline = time.monotonic() + 40
    async with httpx.AsyncClient(base_url=url, headers={"x-api-key": key}, timeout=10) as http:
        while True:
            try:
                answer = await http.request(method, path, json=body)
                if answer.status_code == 200:
                    return answer.json()
                why = answer.text
            except httpx.TransportError as error:
                why = repr(error)
            assert time.monotonic() < deadline, f"{path}: {why}"
            await asyncio.sleep(0.1)


async def journal(product: Product) -> list[Usage]:
    """One row per attempt: the first told, but for a guess that the real figures replace."""
    bus = await Bus.connect(BusSettings(url=product.stack.nats.url), "test")
    rows: dict[str, Usage] = {}
    async for batch in replay(bus, USED):
        for row in batch:
            known = rows.get(row.id)
            if known is None or (known.outcome == "reconciled" != row.outcome):
                rows[row.id] = row
    await bus.close()
    return list(rows.values())


def checked(product: Product, run: Run, rows: list[Usage], booked: int, counted: int) -> list[str]:
    """What is wrong with a run, in words; nothing, one hopes."""
    billed = {line.request_id: line.cost for line in run.bill}
    told = {row.upstream_id: row for row in rows if row.upstream_id}
    guesses = [row for row in rows if row.outcome == "reconciled"]
    unseen = billed.keys() - told.keys()
    answered = {a.id for a in run.answers if a.status == 200 and a.gateway not in run.killed}
    holds = {
        "the book is the sum of the rows": booked == sum(row.cost for row in rows),
        "ClickHouse has the sum of the rows": counted == booked,
        "the budget holds": booked <= product.limit,
        "rows cost what was billed": all(r.cost == billed.get(id) for id, r in told.items()),
        f"what a living gateway answered is told ({answered - told.keys()})": answered
        <= told.keys(),
        "what nobody told is reconciled": len(unseen) <= len(guesses),
        "no guess is above its reservation": all(row.cost <= row.reserved for row in guesses),
        "clients get an answer or lose a killed gateway": all(
            a.status in (200, 402, 503) or a.gateway in run.killed for a in run.answers
        ),
    }
    return [f"seed {run.seed}: not so: {words}" for words, true in holds.items() if not true]


def tell(run: Run, rows: list[Usage], booked: int, counted: int) -> None:
    guesses = [row for row in rows if row.outcome == "reconciled"]
    said = {
        "seed": run.seed,
        "killed": run.killed,
        "answered": run.count(200),
        "refused": run.count(402),
        "unavailable": run.count(503),
        "broken": run.count(0),
        "rows": sum(row.cost > 0 for row in rows),
        "reconciled": len(guesses),
        "book": booked,
        "journal": sum(row.cost for row in rows),
        "clickhouse": counted,
        "bill": sum(line.cost for line in run.bill),
    }
    sys.stdout.write(json.dumps(said) + "\n")


def team(run: Run) -> str:
    return f"seed{run.seed}"


def micro(usd: str) -> int:
    return round(float(usd) * 1_000_000)

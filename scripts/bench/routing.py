"""make bench-routing: what routing saves, what it keeps, and how long a decision takes.

Workload "mixed-60 + sessions": the prompts of routing_workload.txt, each labelled by hand with
the tier it calls for; a title call of a coding agent for every third one; and simulated coding
sessions billed with their prompt caches. Always-premium is claude-opus-5-5 for everything.
Quality kept is the share of the prompts that got the called-for tier or a better one: a
judgement by hand, not a measured answer. With DATA=DIR (recorded outcomes of models, see
docs/routing.md#training) the scorer is cross-validated and its real quality and saving printed.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from msgspec.structs import replace

from libs.common.bus import Bus
from libs.common.catalogue import TIERS
from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import (
    ANNOUNCED,
    ROUTE,
    Announcement,
    Deployment,
    Features,
    Plan,
    Route,
)
from libs.common.journal import ensure_streams
from libs.common.settings.bus import BusSettings
from libs.common.settings.load import load
from services.router.decide import decide
from services.router.health import Health
from services.router.main import open_service
from services.router.rules import build
from services.router.scorer import Prompt
from services.router.sets import read_sets
from services.router.train import train
from services.router.view import View
from tests.router.simulation import saving
from tests.support.servers import nats_server, running

PREMIUM = "claude-opus-5-5"
WORKLOAD = Path(__file__).with_name("routing_workload.txt")
ANTHROPIC = [
    Deployment(id="anthropic", provider="anthropic", dialect="anthropic", catalogue="anthropic")
]
ALL = ANTHROPIC + [
    Deployment(id=name, provider=name, dialect=name, catalogue=name)
    for name in ("openai", "gemini", "mistral")
]
AGENT_TOKENS, CHAT_TOKENS = 40_000, 400
DECISIONS = 3000


def workload() -> Iterator[tuple[str, Features]]:
    """(tier called for, features): each prompt as a chat and as a coding agent's first turn."""
    lines = [line for line in WORKLOAD.read_text().splitlines() if line and line[0] != "#"]
    for number, line in enumerate(lines):
        tier, _, text = line.partition("|")
        yield tier, _features(text, input_tokens=CHAT_TOKENS, max_tokens=1000)
        yield tier, _features(text, input_tokens=AGENT_TOKENS, max_tokens=64_000, tools=24)
        if number % 3 == 0:
            yield "cheap", _features(text, input_tokens=3000, max_tokens=64, background="title")


def _features(text: str, **fields: object) -> Features:
    return Features(  # type: ignore[arg-type]
        model=PREMIUM, user_text=text, user_chars=len(text), messages=1, user_turns=1, **fields
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("DATA", ""), help="recorded outcomes")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="modelmuxer-bench-")
    loaded = load(environ={"MODELMUXER_DATA_DIR": folder})
    rules = build(loaded)
    print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, prices {rules.prices.version}")
    for name, fleet in (("Anthropic alone", ANTHROPIC), ("all four providers", ALL)):
        look = View(rules=rules, deployments=fleet, health=Health())
        prompts(name, look)
        sessions(name, look)
    asyncio.run(latency(folder))
    if options.data:
        outcomes(Path(options.data))


def prompts(name: str, look: View) -> None:
    routed = always = kept = 0
    chosen: Counter[str] = Counter()
    work = list(workload())
    for tier, features in work:
        plan = _decided(look, features)
        first = plan.candidates[0]
        facts = look.rules.catalogue.facts(first.model)
        assert facts is not None
        kept += TIERS.index(facts.tier) >= TIERS.index(tier)  # type: ignore[arg-type]
        routed += first.expected
        always += first.expected + plan.saved
        chosen[first.model] += 1
    print(f"\n{name}: {len(work)} requests of mixed-60")
    print(f"  saving against always {PREMIUM}: {1 - routed / always:.1%} of expected cost")
    print(f"  called-for tier or better: {kept / len(work):.1%}")
    print(f"  served by: {', '.join(f'{model} {n}' for model, n in chosen.most_common())}")


def _decided(look: View, features: Features) -> Plan:
    scorer = look.rules.scorer
    needed = None
    if scorer and features.tools < 3 and not features.background:
        needed = scorer.needed(Prompt(prompt=features.user_text))
    route = Route(request_id="b", principal=Principal(key_id="bench"), features=features)
    return decide(route, look, now=time.time(), needed=needed).plan


def sessions(name: str, look: View) -> None:
    """Coding sessions, 30 % of their tasks hard, seen right four times in five."""
    for cheap in ("claude-sonnet-5-5", "claude-haiku-5-5"):
        kind = "code" if "sonnet" in cheap else "question"
        share = saving(look, PREMIUM, cheap, kind, 0.3, 0.8, 100)
        print(f"  100 simulated sessions {PREMIUM} -> {cheap}: {share:+.1%}, caches billed")


async def latency(folder: str) -> None:
    """Decisions of a router behind a real nats-server: in the service, and as the asker sees it."""
    with running(nats_server(Path(folder) / "nats")) as server:
        config = Path(folder) / "modelmuxer.toml"
        config.write_text(f'data_dir = "{folder}"\n')
        settings = load(str(config), {})
        bus = await Bus.connect(BusSettings(url=server.url), "router")
        asker = await Bus.connect(BusSettings(url=server.url), "gateway")
        within: list[float] = []
        busy: list[float] = []
        await ensure_streams(bus, settings.settings.journal)
        async with open_service(Timed(bus, within, busy), settings):
            await _announce(asker)
            around = await _ask(asker)
            await bus.stop_serving()
        await asker.close()
        await bus.close()
    print(f"\n{DECISIONS} decisions one after another, all four providers, sessions, scorer on")
    rows = (("in the service", within), ("its CPU time", busy), ("asked over NATS", around))
    for words, seconds in rows:
        p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
        print(f"  {words:16s} p50 {p50:.2f} ms  p99 {p99:.2f} ms")


class Timed(Bus):
    """The router's bus, with a clock around the handler of ROUTE."""

    def __init__(self, bus: Bus, seconds: list[float], busy: list[float]) -> None:
        self.__dict__ = bus.__dict__
        self._seconds, self._busy = seconds, busy

    async def serve(self, operation, handler, group=""):  # type: ignore[no-untyped-def]
        async def timed(request):  # type: ignore[no-untyped-def]
            start, worked = time.perf_counter(), time.thread_time()
            try:
                return await handler(request)
            finally:
                if operation is ROUTE:
                    self._seconds.append(time.perf_counter() - start)
                    self._busy.append(time.thread_time() - worked)

        await super().serve(operation, timed, group)


async def _announce(asker: Bus) -> None:
    await asker.tell(ANNOUNCED, Announcement(gateway="bench", deployments=tuple(ALL)))
    await asyncio.sleep(0.2)


async def _ask(asker: Bus) -> list[float]:
    work = [features for _, features in workload()]
    long = "In the report below, find what changed since last year. " * 60
    work.append(_features(long[:4096], input_tokens=2000, max_tokens=1000))
    seconds = []
    for number in range(DECISIONS):
        features = replace(work[number % len(work)], cache_marks=3)
        route = Route(
            request_id=f"r{number}",
            principal=Principal(key_id="bench"),
            features=features,
            session=f"s{number % 300}",
        )
        start = time.perf_counter()
        await asker.ask(ROUTE, route)
        seconds.append(time.perf_counter() - start)
    return seconds


def outcomes(folder: Path) -> None:
    """Fit on the folder; the figures are out of fold, by five-fold cross-validation."""
    measured = train(read_sets(folder), models=False).about.measured
    print(f"\nrecorded outcomes of {folder}, cheap and premium model of each set, out of fold")
    for words, share in measured.items():
        print(f"  {words.removeprefix('cross-validated ')}: {share:.1%}")


if __name__ == "__main__":
    main()

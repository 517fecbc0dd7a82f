"""The router: asked for a plan, answers with ordered candidates and the reason."""

import asyncio
import contextlib
import hashlib
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec.structs import replace

from libs.common.bus import Bus
from libs.common.catalogue_data import AUTO
from libs.common.contracts.routing import (
    ANNOUNCED,
    DECIDED,
    GET_DECISION,
    ROUTE,
    SIGNATURE_SEEN,
    Announcement,
    Decision,
    GetDecision,
    Plan,
    Route,
    SignatureSeen,
)
from libs.common.contracts.usage import USED, Usage
from libs.common.errors import NotFound
from libs.common.outbox import Outbox
from libs.common.settings.load import Loaded
from libs.common.telemetry import ROUTER_DECISIONS, ROUTER_MOVES, ROUTER_SECONDS, ROUTER_SHUT
from services.router.decide import Choice, decide
from services.router.fleet import Fleet
from services.router.health import Health
from services.router.label import is_scored
from services.router.mirror import Mirror
from services.router.rules import Reloader, build
from services.router.scorer import Prompt, Scorer
from services.router.sessions import SESSIONS, SIGNATURES, Origin, Sessions
from services.router.view import Pin, Rules, View

log = logging.getLogger(__name__)
KEPT_DECISIONS = 10_000
MOST_PINS, MOST_SIGNATURES = 50_000, 200_000
SIGNATURE_TTL = 6 * 3600.0


@asynccontextmanager
async def open_service(bus: Bus, loaded: Loaded) -> AsyncIterator[None]:
    rules = build(loaded)
    spool = loaded.settings.data / "spool" / "router"
    ttl = rules.settings.session_ttl
    async with (
        Outbox(bus, loaded.settings.journal, spool) as outbox,
        Mirror(bus, SESSIONS, Pin, ttl, lambda pin: pin.at, MOST_PINS) as pins,
        Mirror(
            bus, SIGNATURES, Origin, SIGNATURE_TTL, lambda origin: origin.at, MOST_SIGNATURES
        ) as origins,
    ):
        router = Router(bus, outbox, rules, Sessions(pins, origins))
        watching = asyncio.create_task(_watch(Reloader(loaded, router.use), rules), name="reload")
        try:
            await router.open()
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


async def _watch(reloader: Reloader, rules: Rules) -> None:
    while True:
        await asyncio.sleep(rules.settings.reload_every)
        reloader.look()


class Router:
    def __init__(self, bus: Bus, outbox: Outbox, rules: Rules, sessions: Sessions) -> None:
        self._bus, self._outbox, self._rules, self._sessions = bus, outbox, rules, sessions
        self._fleet, self._health = Fleet(), Health()
        # As bytes: ten thousand live objects would make every full collection a pause.
        self._decisions: OrderedDict[str, bytes] = OrderedDict()

    def use(self, rules: Rules) -> None:
        """From the next request on."""
        self._rules = rules

    async def open(self) -> None:
        await self._bus.listen(ANNOUNCED, self._announced)
        await self._bus.listen(USED, self._used)
        await self._bus.listen(DECIDED, self._decided)
        await self._bus.listen(SIGNATURE_SEEN, self._signed, group=self._bus.name)
        await self._fleet.ask(self._bus, time.time())
        await self._bus.serve(GET_DECISION, self._get_decision)
        await self._bus.serve(ROUTE, self._route)

    async def _announced(self, announcement: Announcement) -> None:
        self._fleet.hear(announcement, time.time())

    async def _used(self, usage: Usage) -> None:
        now = time.time()
        self._health.hear(usage, now)
        ROUTER_SHUT.set(self._health.shut(now))
        await self._sessions.served(usage)

    async def _signed(self, signature: SignatureSeen) -> None:
        await self._sessions.seen(signature, time.time())

    async def _decided(self, decision: Decision) -> None:
        self._decisions[decision.decision_id] = msgspec.json.encode(decision)
        if len(self._decisions) > KEPT_DECISIONS:
            self._decisions.popitem(last=False)

    async def _route(self, route: Route) -> Plan:
        with ROUTER_SECONDS.time():
            return await self._plan(route)

    async def _plan(self, route: Route) -> Plan:
        now = time.time()
        if not self._fleet.live:
            await self._fleet.ask(self._bus, now)
        extra: dict[str, str] = {}
        choice = self._choose(route, now, extra)
        if not route.dry_run and route.features.door != "count_tokens":
            first = choice.plan.candidates[0]
            self._health.circuit(first.deployment, first.model).chosen(now)
            await self._sessions.settle(route, choice, now)
            self._tell(route, choice.plan, now, extra)
            ROUTER_DECISIONS.labels(choice.plan.label, self._tier(first.model)).inc()
            ROUTER_MOVES.inc(choice.plan.moved)
        return choice.plan

    def _tier(self, model: str) -> str:
        facts = self._rules.catalogue.facts(model)
        return facts.tier if facts else "unknown"

    def _choose(self, route: Route, now: float, extra: dict[str, str]) -> Choice:
        """Decide, with the scorer this key is served by; note what the other one says."""
        rules, text = self._rules, route.features.user_text
        pin = None
        if rules.settings.sticky:
            pin = self._sessions.pin(route, now, rules.settings.session_ttl)
        origins = self._sessions.origins(route.features.signatures)
        decision_id = f"dec_{uuid.uuid4().hex[:24]}"

        def chosen(scorer: Scorer | None) -> Choice:
            needed = None
            if scorer and text and _is_open(route) and is_scored(route.features):
                needed = scorer.needed(_prompt(route))
                extra["needed"] = f"{needed:.3f}"
            view = View(rules=rules, deployments=self._fleet.live, health=self._health)
            return decide(
                route,
                view,
                now=now,
                decision_id=decision_id,
                pin=pin,
                origins=origins,
                needed=needed,
            )

        if rules.trial is None:
            return chosen(rules.scorer)
        tried = _in_trial(route.principal.key_id, rules.settings.trial.share)
        served, other = (rules.trial, rules.scorer) if tried else (rules.scorer, rules.trial)
        shadow, choice = chosen(other).plan.candidates[0], chosen(served)
        saves = choice.plan.candidates[0].expected - shadow.expected
        extra |= {
            "trial": "served" if tried else "shadow",
            "trial_scorer": Path(rules.settings.trial.scorer).name,
            "shadow_model": shadow.model,
            "shadow_saves": str(saves),
        }
        return choice

    def _tell(self, route: Route, plan: Plan, now: float, extra: dict[str, str]) -> None:
        decision = Decision(
            decision_id=plan.decision_id,
            request_id=route.request_id,
            at=now,
            principal=route.principal,
            features=replace(route.features, user_text="", signatures=()),
            plan=plan,
            extra=extra,
        )
        self._outbox.put(DECIDED, decision, plan.decision_id)

    async def _get_decision(self, asked: GetDecision) -> Decision:
        kept = self._decisions.get(asked.decision_id)
        decision = msgspec.json.decode(kept, type=Decision) if kept else None
        if decision is None or not _may_see(asked, decision):
            raise NotFound(
                f"decision: {asked.decision_id[:60]!r} is not known; the router keeps the last "
                f"{KEPT_DECISIONS}, older ones are in the reports"
            )
        return decision


def _is_open(route: Route) -> bool:
    """Whether there is a choice to score: the asked model is served where that is wished."""
    return route.routing != "respect" or route.features.model in AUTO


def _in_trial(key_id: str, share: float) -> bool:
    """Always the same keys, whichever replica is asked."""
    digest = hashlib.blake2b(key_id.encode(), digest_size=8, person=b"trial").digest()
    return int.from_bytes(digest, "big") / 2**64 < share


def _prompt(route: Route) -> Prompt:
    features = route.features
    return Prompt(
        prompt=features.user_text, n_tools=features.tools, tools_chars=features.tools_chars
    )


def _may_see(asked: GetDecision, decision: Decision) -> bool:
    if asked.principal.org != decision.principal.org:
        return False
    return asked.principal.admin or asked.principal.key_id == decision.principal.key_id

"""The router: asked for a plan, answers with ordered candidates and the reason."""

import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from libs.common.bus import Bus
from libs.common.catalogue import Catalogue
from libs.common.contracts.routing import (
    ANNOUNCED,
    DECIDED,
    GET_DECISION,
    ROUTE,
    Announcement,
    Decision,
    Features,
    GetDecision,
    Plan,
    Route,
)
from libs.common.contracts.usage import USED, Usage
from libs.common.errors import NotFound
from libs.common.outbox import Outbox
from libs.common.prices import PriceTable
from libs.common.settings.load import Loaded
from services.router.decide import decide
from services.router.fleet import Fleet
from services.router.health import Health
from services.router.view import Rules, View

log = logging.getLogger(__name__)
KEPT_DECISIONS = 20_000


@asynccontextmanager
async def open_service(bus: Bus, loaded: Loaded) -> AsyncIterator[None]:
    spool = loaded.settings.data / "spool" / "router.jsonl"
    async with Outbox(bus, loaded.settings.journal, spool) as outbox:
        router = Router(bus, outbox, _rules(loaded))
        await router.open()
        yield


def _rules(loaded: Loaded) -> Rules:
    return Rules(
        settings=loaded.settings.routing,
        catalogue=Catalogue.load(loaded.settings),
        prices=PriceTable.load(loaded),
    )


class Router:
    def __init__(self, bus: Bus, outbox: Outbox, rules: Rules) -> None:
        self._bus, self._outbox, self._rules = bus, outbox, rules
        self._fleet, self._health = Fleet(), Health()
        self._decisions: OrderedDict[str, Decision] = OrderedDict()

    async def open(self) -> None:
        await self._bus.listen(ANNOUNCED, self._announced)
        await self._bus.listen(USED, self._used)
        await self._bus.listen(DECIDED, self._decided)
        await self._fleet.ask(self._bus, time.time())
        await self._bus.serve(ROUTE, self._route)
        await self._bus.serve(GET_DECISION, self._get_decision)

    async def _announced(self, announcement: Announcement) -> None:
        self._fleet.hear(announcement, time.time())

    async def _used(self, usage: Usage) -> None:
        self._health.hear(usage, time.time())

    async def _decided(self, decision: Decision) -> None:
        self._decisions[decision.decision_id] = decision
        if len(self._decisions) > KEPT_DECISIONS:
            self._decisions.popitem(last=False)

    async def _route(self, route: Route) -> Plan:
        now = time.time()
        if not self._fleet.live:
            await self._fleet.ask(self._bus, now)
        view = View(rules=self._rules, deployments=self._fleet.live, health=self._health)
        choice = decide(route, view, now=now, decision_id=f"dec_{uuid.uuid4().hex[:24]}")
        if not route.dry_run:
            first = choice.plan.candidates[0]
            self._health.circuit(first.deployment, first.model).chosen(now)
            self._tell(route, choice.plan, now)
        return choice.plan

    def _tell(self, route: Route, plan: Plan, now: float) -> None:
        features = _without_text(route.features)
        decision = Decision(
            decision_id=plan.decision_id,
            request_id=route.request_id,
            at=now,
            principal=route.principal,
            features=features,
            plan=plan,
        )
        self._outbox.put(DECIDED, decision, plan.decision_id)

    async def _get_decision(self, asked: GetDecision) -> Decision:
        decision = self._decisions.get(asked.decision_id)
        if decision is None or not _may_see(asked, decision):
            raise NotFound(f"decision: {asked.decision_id[:60]!r} is not known (any more)")
        return decision


def _may_see(asked: GetDecision, decision: Decision) -> bool:
    if asked.principal.org != decision.principal.org:
        return False
    return asked.principal.admin or asked.principal.key_id == decision.principal.key_id


def _without_text(features: Features) -> Features:
    return msgspec.structs.replace(features, user_text="")

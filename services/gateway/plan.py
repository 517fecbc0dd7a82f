"""Route and reserve: ask the router for a plan, and the ledger for the first that fits."""

import time
from fnmatch import fnmatchcase

import msgspec

from libs.common.contracts.identity import ROUTINGS, Key, Routing
from libs.common.contracts.routing import ROUTE, Candidate, Plan, Route
from libs.common.contracts.spending import RESERVE, Offer, Reservation, Reserve
from libs.common.errors import (
    BudgetExceeded,
    Forbidden,
    InvalidRequest,
    MuxError,
    NotFound,
    Unavailable,
)
from libs.common.money import parse_usd, usd
from services.gateway.booking import catalogue_of, subscribed
from services.gateway.call import Attempt, Call
from services.gateway.kit import Kit

# The least `max_tokens` worth calling with, above any thinking budget (decisions.md).
FLOOR = 4096
SLACK = 60.0


async def route(kit: Kit, call: Call) -> Plan:
    """The plan. Without a router: the asked model, said so, where the policy is open."""
    started = time.monotonic()
    request = await question(kit, call)
    try:
        call.plan = await kit.bus.ask(ROUTE, request, kit.settings.gateway.timeouts.route)
    except Unavailable:
        if kit.settings.gateway.router_down == "closed" or not kit.bus.connected:
            raise
        call.plan = plan_without_router(kit, call)
    call.timings.router = time.monotonic() - started
    return call.plan


async def question(kit: Kit, call: Call, *, dry_run: bool = False) -> Route:
    """What the router is asked about a request."""
    return Route(
        request_id=call.id,
        principal=call.principal,
        features=call.features,
        routing=call.routing,
        session=call.principal.run,
        models=call.key.models,
        dry_run=dry_run,
        tag=call.headers.get(b"x-modelmuxer-tag")[:100],
        budget_percent=await kit.spent.percent(kit.bus, call.principal),
    )


async def reserve(
    kit: Kit, call: Call, candidates: tuple[Candidate, ...], number: int
) -> Reservation:
    """Reserve the first candidate that fits. Raises BudgetExceeded, LimitExceeded, Paused.
    `call.reserving` stays where something is, or may be, reserved."""
    started = time.monotonic()
    max_tokens = call.body.max_tokens
    request = Reserve(
        request_id=call.id,
        attempt=number,
        principal=call.principal,
        offers=tuple(_offer(call, candidate) for candidate in candidates),
        limits=call.key.limits,
        input_tokens=call.features.input_tokens,
        floor=min(max_tokens, FLOOR + call.features.thinking_budget) if max_tokens else 0,
        cap=call.cap,
        ttl=kit.settings.gateway.timeouts.total + SLACK,
    )
    call.reserving = number
    try:
        held = await kit.bus.ask(RESERVE, request, kit.settings.gateway.timeouts.reserve)
    except Unavailable:
        raise  # it may be reserved all the same
    except BudgetExceeded as error:
        call.reserving = 0
        if number == 1 and not error.data.get("alternatives"):
            error.data["alternatives"] = await alternatives(kit, call, error)
        raise
    except MuxError:
        call.reserving = 0
        raise
    finally:
        call.timings.ledger += time.monotonic() - started
    kit.spent.note(call.principal, held)
    return held


async def alternatives(kit: Kit, call: Call, refusal: BudgetExceeded) -> list[dict[str, str]]:
    """What else could do the request and would fit, for a plan that had only the asked model."""
    room = parse_usd(refusal.data["limit"])
    room -= parse_usd(refusal.data["spent"]) + parse_usd(refusal.data["reserved"])
    wanted = msgspec.structs.replace(await question(kit, call, dry_run=True), routing="auto")
    try:
        plan = await kit.bus.ask(ROUTE, wanted, kit.settings.gateway.timeouts.route)
    except MuxError:
        return []
    return [
        {"model": c.model, "deployment": c.deployment, "estimate": usd(c.estimate)}
        for c in plan.candidates
        if c.estimate <= room
    ]


def attempt_of(call: Call, candidates: tuple[Candidate, ...], held: Reservation) -> Attempt:
    call.attempts += 1
    return Attempt(
        number=call.attempts,
        candidate=candidates[held.offer],
        reservation=held,
        max_tokens=held.max_tokens,
    )


def plan_without_router(kit: Kit, call: Call) -> Plan:
    """Serve what was asked, or the configured default, at its worst-case price."""
    resolved = kit.catalogue.resolve(call.features.model)
    model = resolved.model if resolved and not resolved.auto else ""
    model = (
        model or kit.settings.routing.default_model or kit.catalogue.pool("anthropic")["standard"]
    )
    for target in kit.deployments.targets.values():
        deployment = target.deployment
        facts = kit.catalogue.facts(model)
        owner = facts.provider if facts else (resolved.provider if resolved else "")
        if deployment.simulated or owner == (deployment.catalogue or deployment.provider):
            candidate = _candidate(kit, call, model, deployment.id)
            return Plan(
                decision_id=f"dec_{call.id.removeprefix('req_')}",
                candidates=(candidate,),
                reason="the router is away: the asked model serves",
                confidence=0.0,
                label="unrouted",
                baseline=model,
                routing="respect",
            )
    asked = call.features.model
    raise NotFound(f"model: {asked[:100]!r} is not served here; {kit.catalogue.hint(asked)}")


def _candidate(kit: Kit, call: Call, model: str, deployment_id: str) -> Candidate:
    deployment = kit.deployments.targets[deployment_id].deployment
    bare = Candidate(
        deployment=deployment.id,
        provider=deployment.provider,
        model=model,
        dialect=deployment.dialect,
        estimate=0,
        simulated=deployment.simulated,
    )
    price = kit.prices.price(catalogue_of(kit, bare), model, kit.settings.routing.unpriced)
    features = call.features
    input_cost = price.input_worst(features.input_tokens)
    rate = price.output_rate(features.input_tokens)
    return msgspec.structs.replace(
        bare,
        input_cost=input_cost,
        output_price=rate,
        max_tokens=features.max_tokens,
        estimate=input_cost - (-features.max_tokens * rate // 1_000_000),
        unpriced=price.unpriced,
    )


def _offer(call: Call, candidate: Candidate) -> Offer:
    free = subscribed(call, candidate)
    return Offer(
        deployment=candidate.deployment,
        model=candidate.model,
        estimate=0 if free else candidate.estimate,
        input_cost=0 if free else candidate.input_cost,
        output_price=0 if free else candidate.output_price,
        max_tokens=candidate.max_tokens or call.body.max_tokens,
    )


def check_allowed(kit: Kit, call: Call) -> None:
    """The key's allow-list (globs) is about the model that was asked for, or what it means.
    A name that leaves the choice to the router is limited by the router instead."""
    models, asked = call.key.models, call.features.model
    if not models:
        return
    resolved = kit.catalogue.resolve(asked)
    if resolved and resolved.auto:
        return
    names = {asked, resolved.model if resolved else asked}
    if not any(fnmatchcase(name, glob) for name in names for glob in models):
        raise Forbidden(
            f"model: this key may not use {asked[:100]!r}; it may use {', '.join(models[:10])}"
        )


def check_routing(key: Key, wanted: str) -> Routing:
    """The mode that a request asks for, at most the widest that its key allows; without a wish
    the key's own."""
    if not wanted:
        return key.routing
    for mode in ROUTINGS:
        if wanted == mode:
            return min(mode, key.widest, key=ROUTINGS.index)
    raise InvalidRequest(f"x-modelmuxer-routing: use one of {', '.join(ROUTINGS)}")

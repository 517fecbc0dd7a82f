"""Rows for the journal: one per attempt, told once, priced here and nowhere else."""

import asyncio
import logging
import time

import msgspec

from libs.common.contracts.routing import Candidate
from libs.common.contracts.usage import USED, Outcome, Tokens, Usage
from libs.common.errors import InvalidRequest, MuxError
from services.gateway.call import Attempt, Call, Reply
from services.gateway.errors import Fault, status_of
from services.gateway.http import ClientGone
from services.gateway.kit import Kit
from services.gateway.report import report

log = logging.getLogger(__name__)
# Why an answer ended early though its provider did nothing wrong.
NOT_THE_PROVIDER = frozenset({"client_gone", "pii_blocked", "unavailable", "internal", "paused"})


def book(
    kit: Kit,
    call: Call,
    attempt: Attempt,
    *,
    outcome: Outcome,
    status: int = 200,
    error: str = "",
    retry_after: float = 0.0,
    tokens: Tokens | None = None,
) -> None:
    """Tell what an attempt consumed. A second call for the same attempt is ignored. Safe in
    a `finally` of a cancelled request: it awaits nothing."""
    if attempt.booked:
        return
    attempt.booked = True
    used = attempt.meter.tokens() if tokens is None else _possible(call, attempt, tokens)
    candidate = attempt.candidate
    list_cost, unpriced = cost_of(kit, call, attempt, used)
    free = subscribed(call, candidate)
    row = msgspec.structs.replace(
        _row(kit, call),
        attempt=attempt.number,
        reservation=attempt.reservation.id if attempt.reservation else "",
        reserved=attempt.reservation.reserved if attempt.reservation else 0,
        model=candidate.model,
        provider=candidate.provider,
        deployment=candidate.deployment,
        tokens=used,
        cost=0 if free else list_cost,
        list_cost=list_cost,
        unpriced=unpriced,
        simulated=candidate.simulated,
        billed=tokens is None,
        status=status,
        outcome=outcome,
        error=error,
        retry_after=retry_after,
        stop_reason=attempt.meter.stop_reason,
        seconds=time.monotonic() - attempt.started,
        upstream_id=attempt.upstream_id,
    )
    row = msgspec.structs.replace(row, **_baseline(kit, call, used, outcome))
    kit.outbox.put(USED, row, row.id)
    report(call, row)


def _possible(call: Call, attempt: Attempt, guess: Tokens) -> Tokens:
    """No provider makes more of an answer than was asked for, whatever its bytes look like."""
    most = attempt.max_tokens or call.body.max_tokens or guess.output
    most = max(most, attempt.meter.tokens().output)
    return msgspec.structs.replace(guess, output=min(guess.output, most))


def book_refusal(kit: Kit, call: Call, error: BaseException, *, told: bool = True) -> None:
    """A request that was refused, or given up, before its next attempt; frees what is reserved
    for that, or was being reserved when nobody waited for it any longer. Not `told`: no line and
    no figures, where the request itself goes on."""
    held, number = call.reservation, call.reserving
    reservation = f"{call.id}.{number}" if number else ""
    status, code = 499, "client_gone"
    if not isinstance(error, asyncio.CancelledError):
        fault = error if isinstance(error, MuxError) else Fault()
        status, code = status_of(fault)[0], fault.code
    row = msgspec.structs.replace(
        _row(kit, call),
        attempt=number,
        reservation=reservation,
        reserved=held.reserved if held and held.id == reservation else 0,
        status=status,
        outcome="refused",
        error=code,
        seconds=time.monotonic() - call.timings.started,
    )
    kit.outbox.put(USED, row, row.id)
    if told:
        report(call, row)


def finish(kit: Kit, call: Call, reply: Reply, *, broken: str = "") -> None:
    """Book an answer that was relayed, to its end or not. `broken` names what cut it."""
    attempt = reply.attempt
    meter = attempt.meter
    if call.from_cache:
        book_hit(kit, call, attempt)
        return
    broken = broken or ("" if meter.ended else "cut")
    outcome: Outcome = "cancelled" if broken in NOT_THE_PROVIDER else "error"
    tokens = None
    # After the last event the figures are final, whoever is still there to hear of it.
    if not (meter.ended and meter.known):
        tokens = meter.estimated(call.features.input_tokens if meter.content else 0)
    book(
        kit, call, attempt, outcome=outcome if broken else "ok", status=reply.status,
        error=broken, tokens=tokens,
    )  # fmt: skip


def cause_of(error: BaseException) -> str:
    """What cut an answer, in the word that its row has."""
    if isinstance(error, MuxError):
        return error.code
    gone = isinstance(error, (asyncio.CancelledError, ClientGone))
    return "client_gone" if gone else Fault.code


def book_hit(kit: Kit, call: Call, attempt: Attempt) -> None:
    """An answer from the cache: it costs nothing, and saved what it cost when it was made."""
    candidate = attempt.candidate
    row = msgspec.structs.replace(
        _row(kit, call),
        model=candidate.model,
        provider=candidate.provider,
        deployment=candidate.deployment,
        reason=_why_kept(call),
        list_cost=attempt.saved,
        baseline_model=candidate.model,
        baseline_cost=attempt.saved,
        status=200,
        outcome="cached",
        seconds=time.monotonic() - call.timings.started,
    )
    kit.outbox.put(USED, row, row.id)
    report(call, row)


def _why_kept(call: Call) -> str:
    if call.cache == "semantic":
        return f"a similar question was answered before (similarity {call.similarity:.3f})"
    return "an identical request was answered before"


def cost_of(kit: Kit, call: Call, attempt: Attempt, tokens: Tokens) -> tuple[int, bool]:
    """Micro-dollars at the candidate's price, and whether that is a guess. An unknown price is
    the dearest known one; what was answered is booked even where there is none at all, at what
    was reserved for it."""
    candidate, policy = attempt.candidate, kit.settings.routing.unpriced
    try:
        price = kit.prices.price(catalogue_of(kit, candidate), candidate.model, policy)
    except InvalidRequest as error:
        log.error("%s, attempt %d: %s", call.id, attempt.number, error.detail)
        held = attempt.reservation if tokens != Tokens() else None
        return held.reserved if held else 0, True
    speed = call.features.speed or call.features.service_tier
    return price.cost(tokens, speed=speed), candidate.unpriced


def catalogue_of(kit: Kit, candidate: Candidate) -> str:
    """Whose price list a candidate is on."""
    target = kit.deployments.targets.get(candidate.deployment)
    if target and target.deployment.catalogue:
        return target.deployment.catalogue
    if facts := kit.catalogue.facts(candidate.model):
        return facts.provider
    resolved = kit.catalogue.resolve(candidate.model) if candidate.simulated else None
    return resolved.provider if resolved else candidate.provider


def subscribed(call: Call, candidate: Candidate) -> bool:
    """The client pays by its own Claude subscription."""
    return candidate.dialect == "anthropic" and not candidate.simulated and bool(oauth(call))


def oauth(call: Call) -> str:
    """The client's own OAuth bearer, where its key may pass it on."""
    if not call.key.subscription:
        return ""
    bearer = call.headers.get(b"authorization").partition(" ")[2].strip()
    return bearer if bearer.startswith("sk-ant-oat") else ""


def _baseline(kit: Kit, call: Call, tokens: Tokens, outcome: Outcome) -> dict[str, object]:
    """What the same tokens would have cost at the baseline model's price."""
    name = call.plan.baseline if call.plan else ""
    facts = kit.catalogue.facts(name) if name else None
    if facts is None or outcome == "error":
        return {"baseline_model": name}
    price = kit.prices.find(facts.provider, name)
    cost = price.cost(tokens, speed=call.features.speed) if price else 0
    return {"baseline_model": name, "baseline_cost": cost}


def _row(kit: Kit, call: Call) -> Usage:
    plan, timings = call.plan, call.timings
    return Usage(
        request_id=call.id,
        attempt=0,
        at=call.at,
        principal=call.principal,
        door=call.door,
        asked=call.features.model,
        decision_id=plan.decision_id if plan else "",
        reason=plan.reason if plan else "",
        confidence=plan.confidence if plan else 0.0,
        label=plan.label if plan else "",
        routing=plan.routing if plan else call.routing,
        price_version=kit.prices.version,
        cache=call.cache,
        pii=call.pii,
        stream=call.stream,
        first_token=timings.first_token,
        router_seconds=timings.router,
        pii_seconds=timings.pii,
        ledger_seconds=timings.ledger,
    )

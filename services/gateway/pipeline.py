"""The story of one request: mask beside route and reserve, then the candidates in order."""

import asyncio
import time

from libs.common.contracts.routing import Candidate
from libs.common.contracts.spending import Reservation
from libs.common.errors import InvalidRequest, MuxError, UpstreamFailed
from services.gateway.answers import let_go, look_up, mode_of
from services.gateway.audit import audit_refusal, audit_use
from services.gateway.booking import book_refusal
from services.gateway.call import Call, Reply
from services.gateway.hedging import hedged
from services.gateway.kit import Kit
from services.gateway.plan import attempt_of, check_allowed, reserve, route
from services.gateway.shield import shield


async def answer(kit: Kit, call: Call) -> Reply:
    """The beginning of the answer: everything until a provider's first content.

    Raises the MuxError that refuses the request; what was reserved is then freed, whatever else
    may be raised too.
    """
    audit_use(kit, call)
    try:
        check_allowed(kit, call)
        if kept := await cached(kit, call):
            return kept
        await mask_and_plan(kit, call)
        return await first_answer(kit, call)
    except BaseException as error:
        if not call.attempts or call.reserving > call.attempts:
            book_refusal(kit, call, error)
            audit_refusal(kit, call, error)
        await let_go(kit, call)
        raise


async def cached(kit: Kit, call: Call) -> Reply | None:
    """The kept answer of an identical request, where the cache is on: mask first, then look."""
    mode = mode_of(kit, call)
    if mode == "off":
        return None
    await shield(kit, call)
    return await look_up(kit, call, mode)


async def mask_and_plan(kit: Kit, call: Call) -> None:
    """Mask, and at the same time route and reserve; a PII block outranks a budget refusal."""
    if call.cache:  # masked already, to be looked up
        await plan_and_reserve(kit, call)
        return
    masking = asyncio.ensure_future(shield(kit, call))
    try:
        await plan_and_reserve(kit, call)
    except MuxError as refusal:
        await masking
        raise refusal
    except BaseException:
        masking.cancel()
        raise
    await masking


async def plan_and_reserve(kit: Kit, call: Call) -> None:
    plan = await route(kit, call)
    call.reservation = await reserve(kit, call, plan.candidates, call.attempts + 1)


async def first_answer(kit: Kit, call: Call) -> Reply:
    """Try the candidates from the reserved one on; each try has its own reservation and row."""
    assert call.plan and call.reservation
    left, held = call.plan.candidates, call.reservation
    while True:
        attempt = attempt_of(call, left, held)
        call.reservation = held
        try:
            return await hedged(kit, call, attempt, left[held.offer + 1 :])
        except (UpstreamFailed, InvalidRequest) as failure:
            left = _rest(left, held.offer, failure)
            if not left or _gave_up(kit, call):
                raise
            held = await _reserve_or_raise(kit, call, left, failure)


async def _reserve_or_raise(
    kit: Kit, call: Call, left: tuple[Candidate, ...], failure: MuxError
) -> Reservation:
    """What does not fit the budgets any more is not tried: the first failure stands."""
    try:
        return await reserve(kit, call, left, call.attempts + 1)
    except MuxError:
        raise failure from None


def _gave_up(kit: Kit, call: Call) -> bool:
    settings = kit.settings.gateway
    spent = time.monotonic() - call.timings.started
    return call.attempts >= settings.max_attempts or spent >= settings.timeouts.total


def _rest(left: tuple[Candidate, ...], tried: int, failure: MuxError) -> tuple[Candidate, ...]:
    """What may still be tried: nothing after the provider's own verdict on the request; the
    same candidate again where a kept-alive connection had gone stale."""
    if failure.data.get("final"):
        return ()
    passed: int = failure.data.get("passed", 0)
    if failure.data.get("again") and not passed:
        return left[tried:]
    return left[tried + 1 + passed :]

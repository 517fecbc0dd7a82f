"""Hedging: when a small request waits longer than nearly all before it, a second candidate is
asked as well, and the first to begin its answer gives it. Both attempts are reserved and
booked. Off unless `gateway.hedge` says so.
"""

import asyncio
import contextlib

from libs.common.contracts.routing import Candidate
from libs.common.contracts.spending import Reservation
from libs.common.errors import InvalidRequest, MuxError, Unavailable, UpstreamFailed
from services.gateway.attempts import try_candidate
from services.gateway.booking import book_refusal, finish
from services.gateway.call import Attempt, Call, Reply
from services.gateway.kit import Kit
from services.gateway.plan import attempt_of, reserve
from services.gateway.upstream import CallFailed

SMALL_TOKENS = 8_000


async def hedged(kit: Kit, call: Call, attempt: Attempt, others: tuple[Candidate, ...]) -> Reply:
    """The answer of this attempt, or of a second one that began sooner. If both fail, `passed`
    in the failure's data says how many of the others are done with too."""
    patience = _patience(kit, call, attempt, others)
    if patience is None:
        return await try_candidate(kit, call, attempt)
    first = asyncio.ensure_future(try_candidate(kit, call, attempt))
    racers: set[asyncio.Future[Reply]] = {first}
    won: Reply | None = None
    passed = 0
    try:
        done, _ = await asyncio.wait(racers, timeout=patience)
        if not done and (held := await _reserved(kit, call, others)):
            second = attempt_of(call, others, held)
            racers.add(asyncio.ensure_future(try_candidate(kit, call, second)))
            passed = held.offer + 1
        won = await _winner(racers)
        return won
    except (UpstreamFailed, InvalidRequest) as failure:
        failure.data["passed"] = passed
        raise
    finally:
        await _end(kit, call, racers, won)


async def _end(
    kit: Kit, call: Call, racers: "set[asyncio.Future[Reply]]", won: Reply | None
) -> None:
    """Stop who still runs; who began in the same moment as the winner is dropped, and the winner
    too when nobody waits for it any longer."""
    for racer in racers:
        racer.cancel()
    try:
        await asyncio.gather(*racers, return_exceptions=True)
    except asyncio.CancelledError:
        won = None
        raise
    finally:
        for racer in racers:
            if not racer.cancelled() and not racer.exception() and racer.result() is not won:
                await _drop(kit, call, racer.result())


async def _drop(kit: Kit, call: Call, reply: Reply) -> None:
    """Its attempt is booked, its connection let go."""
    finish(kit, call, reply, broken="client_gone")
    if reply.close:
        with contextlib.suppress(CallFailed):
            await reply.close()


async def _reserved(kit: Kit, call: Call, others: tuple[Candidate, ...]) -> Reservation | None:
    try:
        return await reserve(kit, call, others, call.attempts + 1)
    except Unavailable as error:  # it may be reserved all the same; the request goes on
        book_refusal(kit, call, error, told=False)
        call.attempts = call.reserving
        return None
    except MuxError:
        return None  # no money or room for a second try


async def _winner(racers: "set[asyncio.Future[Reply]]") -> Reply:
    """The first that answers; if all fail, the first failure."""
    failure: UpstreamFailed | InvalidRequest | None = None
    left = set(racers)
    while left:
        done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for racer in done:
            try:
                return racer.result()
            except (UpstreamFailed, InvalidRequest) as error:
                failure = failure or error
    assert failure
    raise failure


def _patience(
    kit: Kit, call: Call, attempt: Attempt, others: tuple[Candidate, ...]
) -> float | None:
    if kit.settings.gateway.hedge == "off" or not others or not call.stream:
        return None
    if call.features.input_tokens > SMALL_TOKENS or attempt.number > 1:
        return None
    return kit.first_tokens.p95(attempt.candidate)

"""One attempt at one candidate: send, judge the answer, hold back until content begins.

Fallback is possible until the first content event; `message_start` and pings are held back for
that long. What the provider says about the request itself (400, 401, 403, 404, 413) is final.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from libs.common.contracts.routing import SIGNATURE_SEEN, SignatureSeen
from libs.common.errors import InvalidRequest, Unavailable, UpstreamFailed
from services.gateway.booking import book, cause_of, oauth, subscribed
from services.gateway.call import Attempt, Call, Reply
from services.gateway.deployments import Target
from services.gateway.errors import Headers, Relayed
from services.gateway.features import signature_hash
from services.gateway.headers import request_headers, response_headers, retry_after_of
from services.gateway.kit import Kit
from services.gateway.outgoing import Outgoing, outgoing
from services.gateway.providers import DIALECTS
from services.gateway.providers.anthropic import own_error
from services.gateway.providers.base import Dialect, Translator
from services.gateway.providers.chat_answers import words
from services.gateway.providers.events import UNREADABLE, Garbled
from services.gateway.providers.failures import MAX_WORDS, blames_key, parse
from services.gateway.providers.names import restore
from services.gateway.providers.signing import SIGNERS
from services.gateway.providers.text import dump, load
from services.gateway.stream import renamed
from services.gateway.upstream import MAX_ANSWER, CallFailed, HttpReply, within

log = logging.getLogger(__name__)
FINAL = frozenset({400, 404, 405, 409, 411, 413, 415, 422})
REJECTED_KEY = frozenset({401, 403})
SSE = "text/event-stream"
SIGN_SECONDS = 10.0
# Tokens per second below which no provider makes an answer.
SLOW_TOKENS = 15


async def try_candidate(kit: Kit, call: Call, attempt: Attempt) -> Reply:
    """The beginning of an answer. Raises UpstreamFailed with `final` or `again` in its data;
    the attempt is booked then."""
    target = kit.deployments.targets.get(attempt.candidate.deployment)
    try:
        if target is None:
            raise UpstreamFailed(f"deployment {attempt.candidate.deployment} is not live here")
        return await _attempt(kit, call, attempt, target)
    except CallFailed as failure:
        _book_failure(kit, call, attempt, failure)
        advice = "" if failure.sent else "; `modelmuxer providers test` says what to do"
        raise UpstreamFailed(
            f"{attempt.candidate.provider}: {failure.detail}{advice}",
            {"again": failure.stale and attempt.number == 1},
        ) from None
    except UpstreamFailed as failure:
        status = int(failure.data.get("said") or failure.data.get("status", 502))
        own = status in REJECTED_KEY and subscribed(call, attempt.candidate)
        garbled = isinstance(failure, Garbled)
        book(
            kit, call, attempt, outcome="refused" if own else "error", status=status,
            error=f"{'subscription' if own else 'upstream'}_{status}",
            retry_after=float(failure.data.get("after", 0.0)),
            tokens=attempt.meter.estimated(call.features.input_tokens) if garbled else None,
        )  # fmt: skip
        if status in REJECTED_KEY and not own:
            log.error("%s rejects its key: replace it", attempt.candidate.deployment)
        if own:  # the caller's subscription: nobody else's key pays in its stead
            failure.data["final"] = True
        raise
    except InvalidRequest:
        book(kit, call, attempt, outcome="refused", status=400, error="untranslatable")
        raise
    except BaseException as error:
        gone = isinstance(error, asyncio.CancelledError)
        likely = call.features.input_tokens if attempt.sent else 0
        book(
            kit, call, attempt, outcome="cancelled", status=499 if gone else 500,
            error=cause_of(error), tokens=attempt.meter.estimated(likely),
        )  # fmt: skip
        raise


async def _attempt(kit: Kit, call: Call, attempt: Attempt, target: Target) -> Reply:
    dialect = DIALECTS[target.deployment.dialect]
    made = outgoing(kit, call, attempt, dialect)
    attempt.adapted, attempt.names = made.changes, made.names
    attempt.meter.on_signature = _relay_signature(kit, attempt)
    headers = await _headers(call, attempt, target, made, dialect)
    patience = _patience(kit, call)
    attempt.sent = True
    with kit.bus.tracer.calling(f"chat {attempt.candidate.model}", **_described(call, attempt)):
        reply: HttpReply = await within(
            patience,
            lambda: kit.upstreams.send(
                target.base_url + made.path,
                headers,
                made.body,
                timeouts=_bounds(kit, call, patience),
                simulated=target.deployment.simulated,
            ),
            f"no answer within {patience:.3g} s",
        )
    attempt.sent = reply.status < 300  # a refusal is not billed
    attempt.upstream_id = reply.header(b"request-id") or reply.header(b"x-request-id")
    try:
        if reply.status >= 300:
            raise await _refusal(kit, reply, dialect, attempt)
        if not call.stream:
            return await _whole(kit, call, reply, dialect, attempt)
        return await _begin(kit, reply, dialect, attempt, call)
    except BaseException:
        with contextlib.suppress(CallFailed):
            await reply.close()
        raise


def _described(call: Call, attempt: Attempt) -> dict[str, str | int | float]:
    """A provider call's attributes, in the names of OpenTelemetry's GenAI conventions."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": attempt.candidate.provider,
        "gen_ai.request.model": call.features.model,
        "gen_ai.response.model": attempt.candidate.model,
        "modelmuxer.request_id": call.id,
        "modelmuxer.attempt": attempt.number,
    }


def _patience(kit: Kit, call: Call) -> float:
    """How long this attempt may be silent at first. A whole answer is, until its last token is
    made; no attempt outlives the request's total time."""
    timeouts = kit.settings.gateway.timeouts
    left = max(0.0, timeouts.total - (time.monotonic() - call.timings.started))
    if call.stream:
        return min(timeouts.first_token, left)
    if call.features.server_tools:
        return left
    return min(timeouts.first_token + call.body.max_tokens / SLOW_TOKENS, left)


def _bounds(kit: Kit, call: Call, patience: float) -> dict[str, float]:
    """What the connection itself waits for. A stream's silences are timed where it is relayed,
    once: a timer set again for every piece takes a tenth of what a piece costs (measured)."""
    timeouts = kit.settings.gateway.timeouts
    if call.stream:
        return {"connect": timeouts.connect}
    return {"connect": timeouts.connect, "read": max(patience, timeouts.idle)}


async def _headers(
    call: Call, attempt: Attempt, target: Target, made: Outgoing, dialect: Dialect
) -> Headers:
    token = oauth(call) if subscribed(call, attempt.candidate) else ""
    own = dialect.headers(token or target.credential, target.options)
    sign = SIGNERS.get(target.deployment.dialect)
    if sign:
        json = {"content-type": "application/json"}
        url = target.base_url + made.path
        try:
            # A signer may ask a metadata service for credentials.
            async with asyncio.timeout(SIGN_SECONDS):
                own |= await asyncio.to_thread(
                    sign, url, json, made.body, target.credential, target.options
                )
        except TimeoutError:
            raise CallFailed("no cloud credentials in time", sent=False) from None
        except Unavailable as error:
            raise CallFailed(error.detail, sent=False) from None
    native = target.deployment.dialect == "anthropic"
    return request_headers(call.headers, {**own, **target.headers}, made.betas, native=native)


async def _whole(
    kit: Kit, call: Call, reply: HttpReply, dialect: Dialect, attempt: Attempt
) -> Reply:
    left = kit.settings.gateway.timeouts.total - (time.monotonic() - call.timings.started)
    body = await within(left, reply.read, "the answer did not end in time")
    await reply.close()
    body = canonical(body, dialect, attempt)
    _check_refused(kit, attempt)
    return Reply(
        attempt=attempt,
        status=reply.status,
        headers=response_headers(reply.headers),
        body=_named(kit, call, body),
    )


def canonical(body: bytes, dialect: Dialect, attempt: Attempt) -> bytes:
    """The whole answer as an Anthropic message, metered; Anthropic's own bytes stay as they are.
    Raises UpstreamFailed for anything else."""
    provider = attempt.candidate.provider
    if not body.lstrip().startswith(b"{"):
        raise UpstreamFailed(f"{provider}: answered without JSON")
    try:
        if dialect is not DIALECTS["anthropic"]:
            body = dump(dialect.from_upstream(load(body), attempt.candidate.model))
        if attempt.meter.message(body):
            return restore(body, attempt.names)
    except UNREADABLE:
        pass
    if told := words(parse(body)):
        raise UpstreamFailed(f"{provider}: {told[:MAX_WORDS]}")
    raise Garbled(f"{provider}: answered in a form that cannot be read")


async def _begin(
    kit: Kit, reply: HttpReply, dialect: Dialect, attempt: Attempt, call: Call
) -> Reply:
    """Read until content begins; before that a failure may still fall back."""
    if getattr(dialect, "STREAM_TYPE", SSE) not in reply.header(b"content-type"):
        raise UpstreamFailed(f"{attempt.candidate.provider}: answered a stream request without one")
    translator = dialect.Stream(attempt.candidate.model, call.features.input_tokens)
    events = _events(reply, translator, attempt)
    held: list[bytes] = []
    seconds = kit.settings.gateway.timeouts.first_token
    try:
        async with asyncio.timeout(seconds - (time.monotonic() - attempt.started)):
            async for piece in events:
                held.append(piece)
                if attempt.meter.error is not None and not attempt.meter.content:
                    raise _stream_error(attempt)
                if attempt.meter.content:
                    break
    except TimeoutError:
        raise CallFailed(f"no content within {seconds:g} s", sent=True) from None
    if not attempt.meter.content:
        raise CallFailed("the stream ended before any content", sent=True)
    _check_refused(kit, attempt)
    call.timings.first_token = time.monotonic() - call.timings.started
    kit.first_tokens.note(attempt.candidate, time.monotonic() - attempt.started)
    return Reply(
        attempt=attempt,
        status=reply.status,
        headers=response_headers(reply.headers),
        held=_named(kit, call, b"".join(held)),
        rest=_closing(events, reply),
        close=reply.close,
    )


def _named(kit: Kit, call: Call, head: bytes) -> bytes:
    return renamed(head, call.features.model) if kit.settings.gateway.echo_model else head


def _check_refused(kit: Kit, attempt: Attempt) -> None:
    """A refusal is an answer, unless the policy would rather ask the next candidate."""
    if kit.settings.gateway.fallback_on_refusal and attempt.meter.stop_reason == "refusal":
        raise UpstreamFailed(f"{attempt.candidate.model} refused", {"status": 502})


async def _events(
    reply: HttpReply, translator: Translator, attempt: Attempt
) -> AsyncIterator[bytes]:
    """Canonical bytes as they arrive, metered, tools under the client's names."""
    meter, size = attempt.meter, 0
    async for chunk in reply.chunks():
        if (size := size + len(chunk)) > MAX_ANSWER:
            raise CallFailed("the answer is larger than we take", sent=True)
        for piece in translator.feed(chunk):
            meter.feed(piece)
            yield restore(piece, attempt.names) if attempt.names else piece
    for piece in translator.close():
        meter.feed(piece)
        yield piece


async def _closing(events: AsyncIterator[bytes], reply: HttpReply) -> AsyncIterator[bytes]:
    try:
        async for piece in events:
            yield piece
    finally:
        with contextlib.suppress(CallFailed):
            await reply.close()


async def _refusal(
    kit: Kit, reply: HttpReply, dialect: Dialect, attempt: Attempt
) -> UpstreamFailed:
    """The provider's refusal as an error to fall back from, or to relay as it came."""
    body = b""
    with contextlib.suppress(CallFailed):
        seconds = kit.settings.gateway.timeouts.idle
        body = await within(seconds, lambda: reply.read(1024 * 1024), "it did not say why")
    error = dialect.error_of(reply.status, body)
    provider = attempt.candidate.provider
    of_key = blames_key(error)
    rejected = reply.status in REJECTED_KEY or (of_key and reply.status == 400)
    if rejected and dialect is not DIALECTS["anthropic"]:
        said = reply.status if reply.status in REJECTED_KEY else 401
        return UpstreamFailed(
            f"{provider}: rejected this gateway's credential: {error.message}",
            {"status": 502, "said": said, "type": "api_error", "retry": False},
        )
    relayed = Relayed(
        error.status, response_headers(reply.headers), body, error.type, error.message
    )
    relayed.native = dialect is DIALECTS["anthropic"] and own_error(body) is not None
    relayed.data |= {"type": error.type, "after": retry_after_of(reply)}
    relayed.data["final"] = reply.status in FINAL and not of_key
    return relayed


def _stream_error(attempt: Attempt) -> UpstreamFailed:
    """An error event before any content: HTTP 200 was said, but nothing reached the client."""
    error = attempt.meter.error or {}
    kind = str(error.get("type") or "api_error")
    status = {"overloaded_error": 529, "rate_limit_error": 429}.get(kind, 502)
    words = str(error.get("message") or "failed in its stream")
    return UpstreamFailed(words, {"status": status, "type": kind})


def _book_failure(kit: Kit, call: Call, attempt: Attempt, failure: CallFailed) -> None:
    """Certainly unbilled if it never got there; else what is known of it."""
    reached = failure.sent and not failure.stale
    tokens = attempt.meter.estimated(call.features.input_tokens if reached else 0)
    book(
        kit, call, attempt, outcome="error", status=502, error="unreachable",
        tokens=tokens if reached else None,
    )  # fmt: skip


def _relay_signature(kit: Kit, attempt: Attempt) -> Callable[[str], None]:
    """Remember which model made a thinking signature, here and at the router."""

    def seen(signature: str) -> None:
        digest = signature_hash(signature)
        kit.origins.note(digest, attempt.candidate.model)
        task = asyncio.ensure_future(
            kit.bus.tell(
                SIGNATURE_SEEN, SignatureSeen(signature=digest, model=attempt.candidate.model)
            )
        )
        kit.background.add(task)
        task.add_done_callback(kit.background.discard)

    return seen

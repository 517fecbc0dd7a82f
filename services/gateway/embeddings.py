"""`/v1/embeddings`: masked, reserved, forwarded to the provider of the model, booked.

Only OpenAI-shaped providers have it (developers.openai.com/api/reference/embeddings); the
answer is passed on as it came.
"""

import asyncio
from typing import Any

import msgspec

from libs.common.contracts.routing import Candidate, Plan
from libs.common.contracts.usage import Tokens
from libs.common.errors import InvalidRequest, NotFound, UpstreamFailed
from services.gateway.attempts import REJECTED_KEY
from services.gateway.booking import book, book_refusal, catalogue_of, cause_of
from services.gateway.call import Attempt, Call
from services.gateway.deployments import Target
from services.gateway.errors import Headers, Relayed
from services.gateway.headers import request_headers, response_headers
from services.gateway.kit import Kit
from services.gateway.plan import attempt_of, check_allowed, reserve
from services.gateway.providers import DIALECTS
from services.gateway.providers.counts import believed
from services.gateway.providers.counts import told as counted
from services.gateway.providers.events import Garbled
from services.gateway.shield import shield
from services.gateway.upstream import CallFailed

OPENAI_SHAPED = ("openai", "openai-responses", "mistral")
OWNERS = (
    ("text-embedding", "openai"),
    ("mistral-embed", "mistral"),
    ("codestral-embed", "mistral"),
)
MAX_INPUTS = 2048
SECONDS = {"connect": 5.0, "read": 60.0}


def as_messages(tree: dict[str, Any]) -> bytes:
    """The texts as a Messages body, so that they are counted and masked like any other."""
    given = tree.get("input")
    texts = given if isinstance(given, list) else [given]
    if not texts or len(texts) > MAX_INPUTS:
        raise InvalidRequest(f"input: from 1 to {MAX_INPUTS} texts")
    if not isinstance(tree.get("model"), str) or not tree["model"]:
        raise InvalidRequest("model: Field required")
    if not all(isinstance(text, str) and text for text in texts):
        raise InvalidRequest("input: each must be a text that is not empty")
    messages = [{"role": "user", "content": text} for text in texts]
    return msgspec.json.encode({"model": tree["model"], "max_tokens": 1, "messages": messages})


async def embed(kit: Kit, call: Call, tree: dict[str, Any]) -> tuple[int, Headers, bytes]:
    """Raises what refuses the request; the attempt is booked either way."""
    try:
        target = target_of(kit, call.features.model)
        candidate = _candidate(kit, call, target)
        check_allowed(kit, call)
        await shield(kit, call)
        call.plan = Plan(
            decision_id="", candidates=(candidate,), reason="embeddings go to the model asked for",
            baseline=candidate.model, routing="respect",
        )  # fmt: skip
        call.reservation = await reserve(kit, call, (candidate,), 1)
    except BaseException as error:
        book_refusal(kit, call, error)
        raise
    attempt = attempt_of(call, (candidate,), call.reservation)
    likely = Tokens(input=call.features.input_tokens)
    try:
        async with asyncio.timeout(kit.settings.gateway.timeouts.total):
            return await _send(kit, call, attempt, target, tree)
    except Garbled:
        book(kit, call, attempt, outcome="error", status=502, error="upstream_502", tokens=likely)
        raise
    except (CallFailed, TimeoutError) as failure:
        # What the provider may have got, it may bill.
        used = likely if getattr(failure, "sent", True) else None
        book(
            kit, call, attempt, outcome="error", status=502, error="unreachable", tokens=used
        )  # fmt: skip
        words = str(failure) or "no whole answer in time"
        raise UpstreamFailed(f"{candidate.provider}: {words}") from None
    except Relayed as refusal:
        book(kit, call, attempt, outcome="error", status=refusal.status, error="upstream")
        raise
    except BaseException as error:
        status = 499 if isinstance(error, asyncio.CancelledError) else 500
        book(
            kit, call, attempt, outcome="cancelled", status=status, error=cause_of(error),
            tokens=likely,
        )  # fmt: skip
        raise


def target_of(kit: Kit, model: str) -> Target:
    """The live deployment that has the model: by its owner, else by its configured models."""
    owner = next((who for start, who in OWNERS if model.startswith(start)), "")
    for target in kit.deployments.targets.values():
        deployment = target.deployment
        mine = model in deployment.models or owner == (deployment.catalogue or deployment.provider)
        if mine and deployment.dialect in OPENAI_SHAPED:
            return target
    raise NotFound(
        f"model: no live provider has embeddings of {model[:100]!r}; "
        "set its key, or name it in [providers.NAME] models"
    )


async def _send(
    kit: Kit, call: Call, attempt: Attempt, target: Target, tree: dict[str, Any]
) -> tuple[int, Headers, bytes]:
    dialect = DIALECTS[target.deployment.dialect]
    own = {**dialect.headers(target.credential, target.options), **target.headers}
    masked = msgspec.json.decode(call.fields["messages"])
    texts = [message["content"] for message in masked]
    body = {**tree, "input": texts if isinstance(tree["input"], list) else texts[0]}
    # Azure's path by model serves both.
    path = dialect.path(call.features.model, False, target.options)
    path = path.replace("/chat/completions", "/embeddings") if "path" in target.options else ""
    reply = await kit.upstreams.send(
        target.base_url + (path or "/embeddings"),
        request_headers(call.headers, own, None, native=False),
        msgspec.json.encode(body),
        timeouts=SECONDS,
    )
    try:
        answer = await reply.read()
    finally:
        await reply.close()
    if reply.status >= 300:
        error = dialect.error_of(reply.status, answer)
        status = 502 if reply.status in REJECTED_KEY else error.status
        raise Relayed(status, [], answer, error.type, error.message)
    try:
        told = believed(_tokens, msgspec.json.decode(answer, type=_Vectors).usage)
    except (ValueError, RecursionError):
        raise Garbled(f"{attempt.candidate.provider}: answered without vectors") from None
    if told:
        usage = {"input_tokens": told.input, "output_tokens": 0}
        attempt.meter.message(msgspec.json.encode({"content": [], "usage": usage}))
    estimated = None if told else Tokens(input=call.features.input_tokens)
    book(kit, call, attempt, outcome="ok", tokens=estimated)
    return reply.status, response_headers(reply.headers), answer


class _Vectors(msgspec.Struct):
    data: list[msgspec.Raw]
    usage: Any = None


def _tokens(usage: Any) -> Tokens:
    return Tokens(input=counted(usage, "prompt_tokens"))


def _candidate(kit: Kit, call: Call, target: Target) -> Candidate:
    deployment = target.deployment
    bare = Candidate(
        deployment=deployment.id,
        provider=deployment.provider,
        model=call.features.model,
        dialect=deployment.dialect,
        estimate=0,
    )
    price = kit.prices.price(catalogue_of(kit, bare), bare.model, kit.settings.routing.unpriced)
    worst = price.input_worst(call.features.input_tokens)
    return msgspec.structs.replace(bare, estimate=worst, input_cost=worst, unpriced=price.unpriced)

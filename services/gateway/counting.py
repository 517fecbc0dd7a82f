"""Count tokens without answering: forwarded to Claude's provider, else counted here.

Never a made-up zero: Claude Code compacts by this figure. A count costs nothing, has a rate
bucket of its own (editors send 50 at their start), and its failure says nothing about health.
Counts made here use a public tokenizer plus a stated margin.
"""

import asyncio
import hashlib
import logging
from collections import OrderedDict
from typing import Any

import msgspec

from libs.common.contracts.spending import ADMIT, Admit
from libs.common.errors import MuxError, NotFound, Unavailable
from services.gateway.body import Body, raw_of
from services.gateway.call import Call, new_request_id
from services.gateway.deployments import Target
from services.gateway.door import MessagesDoor
from services.gateway.endpoint import call_of, refuse
from services.gateway.errors import Fault, Headers, Relayed
from services.gateway.features import BASE64_FIELD, DOCUMENT_TOKENS, IMAGE_TOKENS
from services.gateway.headers import own_headers, request_headers, response_headers
from services.gateway.http import (
    JSON,
    ClientGone,
    Receive,
    RequestHeaders,
    Scope,
    Send,
    discard_body,
    read_body,
    send_answer,
)
from services.gateway.kit import Kit
from services.gateway.providers import DIALECTS
from services.gateway.providers.anthropic import own_error
from services.gateway.providers.counts import told
from services.gateway.providers.events import UNREADABLE
from services.gateway.providers.form import check_form
from services.gateway.providers.text import load
from services.gateway.shield import shield
from services.gateway.tokenizer import tokens as tokens_of
from services.gateway.upstream import CallFailed, within

log = logging.getLogger(__name__)
# Tokenizers differ by so much on ordinary text; the count is raised by it, and says so.
MARGIN = 0.10
REMEMBERED = 4096
FORWARD_SECONDS = 20.0
COUNTED = b"x-modelmuxer-token-count"


class CountEndpoint:
    """`POST /v1/messages/count_tokens`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._known: OrderedDict[bytes, int] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, door = RequestHeaders(scope["headers"]), MessagesDoor()
        request_id = new_request_id()
        try:
            call = await self._read(scope, receive, headers, request_id)
            status, extra, body = await self._count(call)
            await send_answer(send, status, [*extra, *own_headers(call)], body, [])
        except MuxError as error:
            await refuse(send, door, error, request_id)
        except ClientGone:
            return
        except Exception:  # raised on: the server logs what it was
            log.error("%s failed", request_id)
            await refuse(send, door, Fault(), request_id)
            raise

    async def _read(
        self, scope: Scope, receive: Receive, headers: RequestHeaders, request_id: str
    ) -> Call:
        settings = self._kit.settings.gateway
        try:
            key = await self._kit.keys.find(headers)
        except MuxError:
            await discard_body(receive, settings.max_body)
            raise
        try:
            raw = await read_body(headers, receive, settings.max_body, settings.timeouts.body)
        except MuxError:
            await discard_body(receive, 4 * settings.max_body)
            raise
        body = Body(raw, settings, needs_max_tokens=False)
        return call_of(self._kit, scope, headers, key, body, "count_tokens", request_id)

    async def _count(self, call: Call) -> tuple[int, Headers, bytes]:
        await self._admit(call)
        resolved = self._kit.catalogue.resolve(call.features.model)
        if resolved is None:
            asked = call.features.model
            hint = self._kit.catalogue.hint(asked)
            raise NotFound(f"model: {asked[:100]!r} is not known here; {hint}")
        target = self._claude(resolved.provider)
        if target:
            try:
                forwarded: tuple[int, Headers, bytes] = await within(
                    FORWARD_SECONDS,
                    lambda: self._forward(call, target, resolved.model),
                    f"not counted within {FORWARD_SECONDS:g} s",
                )
                return forwarded
            except CallFailed:
                pass  # counted here instead; a failed count is nobody's outage
        tokens = await self._local(call)
        said = f"local; margin={MARGIN:.2f}".encode()
        return 200, [JSON, (COUNTED, said)], msgspec.json.encode({"input_tokens": tokens})

    async def _admit(self, call: Call) -> None:
        ask = Admit(principal=call.principal, bucket="count_tokens", limits=call.key.limits)
        try:
            await self._kit.bus.ask(ADMIT, ask)
        except Unavailable:
            if not self._kit.bus.connected:
                raise

    def _claude(self, provider: str) -> Target | None:
        for target in self._kit.deployments.targets.values():
            deployment = target.deployment
            native = deployment.dialect == "anthropic" and not deployment.simulated
            if native and provider == (deployment.catalogue or deployment.provider):
                return target
        return None

    async def _forward(self, call: Call, target: Target, model: str) -> tuple[int, Headers, bytes]:
        await shield(self._kit, call)
        fields = dict(call.fields)
        if model != call.features.model:
            fields["model"] = raw_of(model)
        dialect = DIALECTS["anthropic"]
        own = {**dialect.headers(target.credential, target.options), **target.headers}
        query = f"?{call.query}" if call.query else ""
        reply = await self._kit.upstreams.send(
            f"{target.base_url}/v1/messages/count_tokens{query}",
            request_headers(call.headers, own, None, native=True),
            call.body.encoded(fields),
            timeouts={"connect": 5.0, "read": FORWARD_SECONDS},
        )
        try:
            body = await reply.read(1024 * 1024)
        finally:
            await reply.close()
        if reply.status >= 500 or reply.status in (404, 408, 429):
            raise CallFailed(f"count_tokens: {reply.status}", sent=True)
        if reply.status >= 400:
            error = dialect.error_of(reply.status, body)
            headers = response_headers(reply.headers)
            relayed = Relayed(reply.status, headers, body, error.type, error.message)
            relayed.native = own_error(body) is not None
            raise relayed
        if reply.status >= 300 or not is_count(body):
            raise CallFailed("count_tokens: answered without a count", sent=True)
        return reply.status, [*response_headers(reply.headers), (COUNTED, b"provider")], body

    async def _local(self, call: Call) -> int:
        digest = hashlib.blake2b(call.body.raw, digest_size=16).digest()
        if digest not in self._known:
            tokens = await asyncio.to_thread(count_body, call.body)
            self._known[digest] = tokens
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return self._known[digest]


def is_count(body: bytes) -> bool:
    """Whether a provider's answer to the question for a count is one."""
    try:
        return told(load(body), "input_tokens") > 0
    except UNREADABLE:
        return False


def count_body(body: Body) -> int:
    """Tokens of system, tools and messages, with the margin; at least 1. Raises InvalidRequest
    for what no provider would count."""
    seen = {"images": 0, "documents": 0}
    parts: list[str] = []
    fields = {
        name: msgspec.Raw(BASE64_FIELD.sub(b'"data":""', bytes(raw)))
        for name, raw in body.fields.items()
    }
    tree = body.tree(fields)
    check_form(tree)
    for name in ("system", "tools", "messages"):
        _gather(tree.get(name), parts, seen)
    tokens = tokens_of("\n".join(parts)) if parts else 0
    tokens += seen["images"] * IMAGE_TOKENS + seen["documents"] * DOCUMENT_TOKENS
    return max(1, -int(-(tokens * (1 + MARGIN)) // 1))


def _gather(value: Any, parts: list[str], seen: dict[str, int]) -> None:
    """The texts of a JSON value, keys included: tool schemas are read by the model too."""
    if isinstance(value, str):
        parts.append(value)
    elif isinstance(value, dict):
        kind = value.get("type")
        seen["images"] += kind == "image"
        seen["documents"] += kind == "document"
        for name, each in value.items():
            if name not in ("cache_control", "signature"):
                parts.append(name)
                _gather(each, parts, seen)
    elif isinstance(value, list):
        for each in value:
            _gather(each, parts, seen)
    elif value is not None:
        parts.append(str(value))

"""Tell what was said, masked, for the audit (`[audit] bodies = "masked"`; off by default).

Told only of a request whose key is masked and whose texts pii has seen. The answer is masked as
well, for what the model itself may have produced. Images, files and thinking are left out: no
rule looks into them.
"""

import asyncio
import logging
from typing import Any

import msgspec

from libs.common.contracts.exchange import EXCHANGED, Exchange
from libs.common.errors import Unavailable
from services.gateway.assemble import message_of
from services.gateway.call import Call
from services.gateway.kit import Kit
from services.gateway.masking.answer import Answer
from services.gateway.providers.events import UNREADABLE
from services.gateway.providers.text import dump, load
from services.gateway.shield import placeholders_of, policy_of, scanned

log = logging.getLogger(__name__)
TOLD = ("system", "messages")
OPAQUE = frozenset({"thinking", "redacted_thinking", "base64"})


def tell_exchange(kit: Kit, call: Call, whole: bytes) -> None:
    """Off the way of the client. `whole` is the answer before values are restored, or empty."""
    if call.recorded:
        task = asyncio.ensure_future(_tell(kit, call, whole))
        kit.background.add(task)
        task.add_done_callback(kit.background.discard)


async def _tell(kit: Kit, call: Call, whole: bytes) -> None:
    limit = kit.settings.audit.bodies_bytes
    request = await asyncio.to_thread(_request, call)
    answer = await _answer(kit, call, whole)
    told = Exchange(
        request_id=call.id,
        at=call.at,
        principal=call.principal,
        # Of a long conversation, the end: what was asked last.
        request=request[-limit:].decode("utf-8", "ignore"),
        answer=answer[:limit].decode("utf-8", "ignore"),
        cut=len(request) > limit or len(answer) > limit,
    )
    kit.outbox.put(EXCHANGED, told, f"{call.id}.exchange")


def _request(call: Call) -> bytes:
    given = {name: msgspec.json.decode(raw) for name, raw in call.fields.items() if name in TOLD}
    return msgspec.json.encode({name: _readable(given[name]) for name in TOLD if name in given})


async def _answer(kit: Kit, call: Call, whole: bytes) -> bytes:
    """What the model said, as JSON; empty where it cannot be masked for certain."""
    message = message_of(whole) if whole and call.stream else None
    answer = Answer.of(msgspec.json.encode(message) if message else whole)
    if answer is None:
        return b""
    try:
        known = await scanned(kit, call, answer.blocks)
    except Unavailable as error:
        log.warning("an answer was not kept for the audit: %s", error.detail)
        return b""
    policy = policy_of(kit, call)
    masked = answer.masked(known, policy, placeholders_of(kit, call), call.mapping)
    if call.unscanned or masked.blocked:
        return b""
    try:
        content = load(bytes(masked.message["content"]))
        return dump([_readable(content[number]) for number in sorted(answer.said)])
    except UNREADABLE:
        return b""


def _readable(value: Any) -> Any:
    """Without what no rule looks into."""
    if isinstance(value, list):
        return [_readable(each) for each in value]
    if isinstance(value, dict):
        if value.get("type") in OPAQUE:
            return {"type": value["type"], "left_out": True}
        return {name: _readable(each) for name, each in value.items()}
    if isinstance(value, str) and value.startswith("data:"):
        return "data: (left out)"
    return value

"""Reservations that a store may lose: remembered for a while by whoever made them, put back.

Redis writes to its disk or its follower a moment after it has answered. What a crash takes
from that moment would be room that is given away twice.
"""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from libs.common.contracts.identity import Principal
from services.ledger import names
from services.ledger.forms import Answer, Asked, Call, Note
from services.ledger.store import Scripts, Store, in_groups

# What a Redis with `appendfsync everysec`, or a follower of it, may lack, and a margin.
SECONDS = 5.0
# About a kilobyte each.
MOST = 20_000


class Held(Struct, frozen=True, kw_only=True):
    """A reservation, with all that is needed to make it again."""

    id: str
    expires: float
    call: Call

    @property
    def principal(self) -> Principal:
        return msgspec.json.decode(self.call.note, type=Note).principal


class Recent:
    """The reservations this replica made last."""

    def __init__(self) -> None:
        self._made: deque[tuple[float, Asked, Answer]] = deque(maxlen=MOST)

    def add(self, asked: Asked, answer: Answer) -> None:
        now = time.monotonic()
        self._made.append((now, asked, answer))
        while self._made[0][0] < now - SECONDS:
            self._made.popleft()

    async def repeat(self, scripts: Scripts, heard: float) -> int:
        """Put back those that the store lacks since it was last heard, however long it was away;
        returns how many."""
        since = heard - SECONDS
        made = [held(asked, answer) for at, asked, answer in self._made if at >= since]
        return await put_back(scripts, made)


def held(asked: Asked, answer: Answer) -> Held:
    """What `reserve.lua` has stored for an answer."""
    offer = asked.offers[answer.offer]
    call = Call(
        state="open",
        offer=answer.offer,
        reserved=answer.reserved,
        max_tokens=answer.max_tokens,
        bucket=int(asked.now // 5),
        tokens=asked.input_tokens,
        note=asked.note,
        model=offer.model,
        deployment=offer.deployment,
        input_cost=offer.input_cost,
    )
    return Held(id=asked.id, expires=asked.expires, call=call)


async def put_back(scripts: Scripts, lost: Sequence[Held]) -> int:
    """Returns how many the store lacked."""
    for org in {each.principal.org for each in lost}:
        await scripts.list_org(org)
    return sum(await in_groups(lambda each: _put_back(scripts, each), lost))


async def _put_back(scripts: Scripts, lost: Held) -> int:
    principal = lost.principal
    org = principal.org
    keys = [names.tenant(org, "call", lost.id), names.tenant(org, "open")]
    keys += [names.tenant(org, "at", *scope) for scope in names.scopes(principal)]
    return int(await scripts.call("repeat", keys, lost, int))


async def open_calls(store: Store, org: str) -> list[Held]:
    """Every reservation of a tenant that is open."""
    key = names.tenant(org, "open")
    found: Any = await store.redis.zrange(key, 0, -1, withscores=True)

    async def held(entry: tuple[bytes, float]) -> Held | None:
        id, expires = entry[0].decode(), entry[1]
        packed = await store.redis.get(names.tenant(org, "call", id))
        if not isinstance(packed, bytes):
            return None
        call = msgspec.msgpack.decode(packed, type=Call)
        return Held(id=id, expires=expires, call=call) if call.state == "open" else None

    return [each for each in await in_groups(held, found) if each]

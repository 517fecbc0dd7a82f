"""Events that nobody could take: kept in the journal under `dead.v1.<durable>`, with the
subject they came from and the reason, until someone replays or drops them."""

from collections.abc import AsyncIterator

import msgspec
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NotFoundError

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.errors import NotFound, Unavailable
from libs.common.journal import DEAD_SUBJECT, JOURNALED
from libs.common.telemetry import JOURNAL_DEAD


class Dead(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    at: str
    consumer: str
    subject: str
    why: str
    data: bytes


class Burial:
    """Puts an event that the store refuses beside the undecodable ones of the consumer."""

    def __init__(self, bus: Bus, durable: str) -> None:
        self._bus, self._subject = bus, f"{DEAD_SUBJECT}.{durable}"
        self._dead = JOURNAL_DEAD.labels(durable)

    async def bury(self, event: object, why: str) -> None:
        subject = next(kind.subject for kind in JOURNALED if isinstance(event, kind.body))
        headers = {"subject": subject, "why": why[:500].replace("\n", " ")}
        try:
            js = self._bus.client.jetstream()
            await js.publish(self._subject, msgspec.json.encode(event), headers=headers)
            self._dead.inc()
        except (*LOST, APIError) as error:
            raise Unavailable(f"the journal is away ({error})") from error


async def listed(client: Client) -> AsyncIterator[Dead]:
    """All of them, oldest first."""
    js, seq = client.jetstream(), 1
    while True:
        try:
            found = await js.get_msg(EVENTS_STREAM, seq=seq, subject=f"{DEAD_SUBJECT}.>", next=True)
        except NotFoundError:
            return
        yield _dead(found)
        seq = (found.seq or 0) + 1


async def one(client: Client, seq: int) -> Dead:
    try:
        found = await client.jetstream().get_msg(EVENTS_STREAM, seq=seq)
    except NotFoundError:
        raise NotFound(f"no dead event {seq}; `modelmuxer analytics dead list` shows all") from None
    if not (found.subject or "").startswith(DEAD_SUBJECT):
        raise NotFound(f"event {seq} is not dead; `modelmuxer analytics dead list` shows all")
    return _dead(found)


async def replay(client: Client, dead: Dead) -> None:
    """Tell it again under its own subject; every consumer counts it once by its id."""
    await client.jetstream().publish(dead.subject, dead.data)
    await drop(client, dead)


async def drop(client: Client, dead: Dead) -> None:
    await client.jetstream().delete_msg(EVENTS_STREAM, dead.seq)


def _dead(found: RawStreamMsg) -> Dead:
    headers = found.headers or {}
    return Dead(
        seq=found.seq or 0,
        at=str(found.time or ""),
        consumer=(found.subject or "").removeprefix(f"{DEAD_SUBJECT}."),
        subject=headers.get("subject", ""),
        why=headers.get("why", ""),
        data=found.data or b"",
    )

"""The audit trail: append only, each entry holding the hash of the one before it.

The head of the chain lives in a JetStream bucket, outside the store whose rows it vouches for.
A new head carries the entries it adds and is written only if nobody moved it meanwhile, so
replicas cannot fork the chain; whoever finds a head first writes its entries again, which heals
a crash between the head and the rows. Rows replace themselves, so repeating is harmless.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from nats.js.client import JetStreamContext
from nats.js.errors import (
    APIError,
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
)
from nats.js.kv import KeyValue

from libs.common.bus import LOST, Bus
from libs.common.contracts.spending import Audit
from libs.common.errors import Unavailable
from services.analytics.rows import ticks, transposed
from services.analytics.store import Store

BUCKET, HEAD = "MODELMUXER_AUDIT", "head"
FIRST = "0" * 64
PIECE = 500  # entries a head may carry: far below what one message holds


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`at` is in microseconds, `moment` the same as text, since a hash needs one spelling;
    `detail` is JSON."""

    seq: int
    id: str
    at: int
    org: str
    actor: str
    action: str
    target: str
    detail: str
    moment: str
    prev: str
    hash: str = ""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The last entry's number and hash, and the entries that this head brought."""

    seq: int = 0
    hash: str = FIRST
    entries: tuple[Entry, ...] = ()


def chained(head: Head, events: Sequence[Audit]) -> Head:
    """The head after these events. Pure."""
    entries: list[Entry] = []
    prev = head.hash
    for seq, event in enumerate(events, head.seq + 1):
        entry = _entry(seq, event, prev)
        entries.append(entry)
        prev = entry.hash
    return Head(seq=head.seq + len(entries), hash=prev, entries=tuple(entries))


def digest(entry: Entry) -> str:
    """SHA-256 over every column but the hash itself."""
    fields = [
        entry.seq, entry.id, entry.moment, entry.org, entry.actor, entry.action, entry.target,
        entry.detail, entry.prev,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(fields, ensure_ascii=False).encode()).hexdigest()


def _entry(seq: int, event: Audit, prev: str) -> Entry:
    entry = Entry(
        seq=seq,
        id=event.id,
        at=ticks(event.at),
        org=event.org,
        actor=event.actor,
        action=event.action,
        target=event.target,
        detail=json.dumps(event.detail, sort_keys=True, ensure_ascii=False),
        moment=datetime.fromtimestamp(event.at, UTC).isoformat(),
        prev=prev,
    )
    return msgspec.structs.replace(entry, hash=digest(entry))


class Trail:
    """Appends to the chain. Safe with several replicas."""

    def __init__(self, bus: Bus, store: Store) -> None:
        self._bus, self._store = bus, store
        self._written = -1  # revision of the last head whose entries are surely in the store

    async def append(self, events: Sequence[Audit]) -> None:
        for start in range(0, len(events), PIECE):
            while not await self._append(events[start : start + PIECE]):
                pass  # another replica moved the head: look again

    async def head(self) -> Head:
        """The last word on the chain. Raises Unavailable."""
        try:
            bucket = await _bucket(self._bus.client.jetstream())
            return (await read_head(bucket))[0]
        except (*LOST, APIError) as error:
            raise Unavailable(f"the audit head is away ({error})") from error

    async def _append(self, events: Sequence[Audit]) -> bool:
        try:
            bucket = await _bucket(self._bus.client.jetstream())
            head, revision = await read_head(bucket)
            await self._write(head, revision)
            fresh = await self._unknown(events)
            if not fresh:
                return True
            head = chained(head, fresh)
            data = msgspec.json.encode(head)
            revision = await bucket.update(HEAD, data, last=revision)
        except KeyWrongLastSequenceError:
            return False
        except (*LOST, APIError) as error:
            raise Unavailable(f"the audit head is away ({error})") from error
        await self._write(head, revision)
        return True

    async def _write(self, head: Head, revision: int) -> None:
        if head.entries and revision != self._written:
            rows = [msgspec.structs.asdict(entry) for entry in head.entries]
            await self._store.insert("audit", transposed(rows))
        self._written = revision

    async def _unknown(self, events: Sequence[Audit]) -> list[Audit]:
        by_id = {event.id: event for event in events}
        sql = "SELECT id FROM audit WHERE id IN {ids:Array(String)}"
        known = await self._store.read_own_writes(sql, ids=list(by_id))
        return [event for id, event in by_id.items() if id not in {row["id"] for row in known}]


async def _bucket(js: JetStreamContext) -> KeyValue:
    try:
        return await js.key_value(BUCKET)
    except BucketNotFoundError:
        return await js.create_key_value(bucket=BUCKET)


async def read_head(bucket: KeyValue) -> tuple[Head, int]:
    """The head and its revision; revision 0 before the first entry."""
    try:
        found = await bucket.get(HEAD)
    except KeyNotFoundError:
        return Head(), 0
    return msgspec.json.decode(found.value or b"{}", type=Head), found.revision or 0


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """`broken` names the first entry that does not fit, and why; empty: all is as it was.
    `first` is above 1 once old entries have passed their time."""

    entries: int = 0
    first: int = 0
    last: int = 0
    hash: str = FIRST
    broken: str = ""


def walked(so_far: Verdict, entries: Sequence[Entry]) -> Verdict:
    """The verdict after the next entries, in their order. Pure."""
    last, prev = so_far.last, so_far.hash
    for entry in entries:
        fault = _fault(entry, last, prev)
        if fault:
            return msgspec.structs.replace(so_far, last=last, hash=prev, broken=fault)
        last, prev = entry.seq, entry.hash
    return Verdict(
        entries=so_far.entries + len(entries),
        first=so_far.first or (entries[0].seq if entries else 0),
        last=last,
        hash=prev,
    )


def ended(verdict: Verdict, head: Head) -> Verdict:
    """Compare the end of the walk with the head of the chain."""
    if verdict.broken or (verdict.last, verdict.hash) == (head.seq, head.hash):
        return verdict
    fault = f"the trail ends at entry {verdict.last}, but its head says {head.seq}"
    return msgspec.structs.replace(verdict, broken=fault)


def _fault(entry: Entry, last: int, prev: str) -> str:
    if digest(entry) != entry.hash:
        return f"entry {entry.seq} was changed"
    if last and (entry.prev != prev or entry.seq != last + 1):
        return f"entry {entry.seq} does not follow entry {last}"
    return ""

"""Message batches: forwarded to Anthropic, masked, reserved at batch price, settled from the
results. Wire: docs.anthropic.com/en/api/creating-message-batches.

A batch outlives this process, so what is needed to restore and to settle it is sealed in
Redis until its results expire.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from msgspec import Raw, Struct

from libs.common.catalogue import DATED
from libs.common.contracts.identity import Key, Principal
from libs.common.contracts.spending import RESERVE, Offer, Reservation, Reserve
from libs.common.contracts.usage import USED, Tokens, Usage
from libs.common.errors import InvalidRequest, MuxError, NotFound, PiiBlocked, Unavailable
from libs.common.tasks import end
from services.gateway.body import UNREADABLE, raw_of, unreadable
from services.gateway.booking import book_refusal
from services.gateway.call import Call
from services.gateway.errors import body_of as error_body
from services.gateway.kit import Kit
from services.gateway.output import finished
from services.gateway.plan import check_allowed
from services.gateway.providers.anthropic import tokens as tokens_of
from services.gateway.providers.events import UNREADABLE as NO_RESULT
from services.gateway.providers.text import load
from services.gateway.shield import shield

log = logging.getLogger(__name__)
MAX_REQUESTS = 100_000
# A batch runs for a day at most; its results stay for 29 days.
RESERVED_SECONDS = 26 * 3600.0
KEPT_SECONDS = 29 * 86400.0
SENDING_SECONDS = 900.0
PARALLEL_MASKS = 8


class Item(Struct):
    custom_id: str
    params: Raw


class Items(Struct):
    requests: list[Item]


class Group(Struct, kw_only=True):
    """All requests of a batch for one model: one reservation, one row."""

    model: str
    number: int
    estimate: int
    reservation: str = ""
    reserved: int = 0


class Held(Struct, kw_only=True):
    """What is kept of a batch until its results expire."""

    row: Usage
    groups: list[Group]
    mapping: dict[str, str]
    settled: bool = False


def parse(raw: bytes) -> list[Item]:
    """Raises InvalidRequest naming the field."""
    try:
        items = msgspec.json.decode(raw, type=Items).requests
    except msgspec.ValidationError as error:
        place = str(error).rpartition("at `$.")[2].rstrip("`") or "requests"
        raise InvalidRequest(f"{place}: {str(error).partition(' - at')[0]}") from None
    except UNREADABLE as error:
        raise unreadable(error) from None
    if not 1 <= len(items) <= MAX_REQUESTS:
        raise InvalidRequest(f"requests: must hold from 1 to {MAX_REQUESTS} requests")
    ids = [item.custom_id for item in items]
    if len(set(ids)) != len(ids):
        raise InvalidRequest("requests: each custom_id may stand only once")
    return items


async def prepare(kit: Kit, calls: Sequence[Call]) -> tuple[list[Group], dict[str, str]]:
    """Mask every request and reserve per model; all or nothing."""
    await _mask(kit, calls)
    groups = _groups(kit, calls)
    for group in groups:
        try:
            held = await _reserve(kit, calls[0], group)
        except BaseException as error:
            if isinstance(error, Unavailable) or not isinstance(error, MuxError):
                # No word of the ledger: it may be reserved all the same.
                group.reservation = f"{calls[0].id}.{group.number}"
            release(kit, calls[0], groups, error)
            raise
        group.reservation, group.reserved = held.id, held.reserved
    mapping = {name: value for call in calls for name, value in call.mapping.items()}
    return groups, mapping


async def _mask(kit: Kit, calls: Sequence[Call]) -> None:
    """Mask every request, so many at a time; the first refusal ends it."""
    waiting = iter(calls)

    async def one_after_another() -> None:
        for call in waiting:
            check_allowed(kit, call)
            await shield(kit, call)

    tasks = [asyncio.create_task(one_after_another()) for _ in range(PARALLEL_MASKS)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            await end(task)


def body_of(kit: Kit, items: Sequence[Item], calls: Sequence[Call]) -> bytes:
    """The batch as it is sent: masked, its model names resolved."""
    entries = []
    for item, call in zip(items, calls, strict=True):
        fields = dict(call.fields)
        model = model_of(kit, call)
        if model != call.features.model:
            fields["model"] = raw_of(model)
        entries.append({"custom_id": item.custom_id, "params": Raw(call.body.encoded(fields))})
    return msgspec.json.encode({"requests": entries})


def model_of(kit: Kit, call: Call) -> str:
    resolved = kit.catalogue.resolve(call.features.model)
    if resolved is None or resolved.auto or resolved.provider != "anthropic":
        raise NotFound(f"model: {call.features.model[:100]!r} cannot be batched; name a Claude")
    return resolved.model


def release(kit: Kit, call: Call, groups: Sequence[Group], error: BaseException) -> None:
    """Nothing was sent, or it was refused: free what was reserved."""
    for group in groups:
        if group.reservation:
            call.reservation = Reservation(id=group.reservation, offer=0, reserved=group.reserved)
            call.reserving = group.number
            book_refusal(kit, call, error)
    call.reservation, call.reserving = None, 0


class Reader(Struct, kw_only=True):
    """Who reads a batch's results, and on whose behalf it was made."""

    id: str
    key: Key
    principal: Principal
    mapping: dict[str, str]
    pii: dict[str, int] = {}
    unscanned: bool = False


def reader_of(held: Held, key: Key) -> Reader:
    row = held.row
    return Reader(id=row.request_id, key=key, principal=row.principal, mapping=held.mapping)


# What a batch used, by model; None where a line does not tell it.
Used = dict[str, Tokens | None]


async def restored(
    kit: Kit, reader: Reader, lines: AsyncIterator[bytes], used: Used
) -> AsyncIterator[bytes]:
    """The result lines with masked values put back, and the model's own masked where `pii.output`
    says so; adds up the usage by model. Raises Unavailable (pii away, closed)."""
    async for line in lines:
        add_usage(line, used)
        yield await _restored_line(kit, reader, line) + b"\n"


def add_usage(line: bytes, used: Used) -> None:
    try:
        result = load(line)["result"]
        if result["type"] != "succeeded":
            return
        model, more = str(result["message"]["model"]), tokens_of(result["message"]["usage"])
    except NO_RESULT:
        model, more = "", None
    before = used.get(model, Tokens())
    used[model] = _sum(before, more) if before and more else None


def settle(kit: Kit, held: Held, used: Used) -> None:
    """One row per model. The same rows again, from another gateway, count once. Where a line
    does not tell its tokens, or its model, nothing is settled: the ledger books what is reserved,
    in time."""
    ours = {DATED.sub("", group.model) for group in held.groups}
    known = {model: each for model, each in used.items() if each and DATED.sub("", model) in ours}
    if len(known) < len(used):
        log.warning("%s: results without usage; booked as reserved", held.row.request_id)
        return
    for group in held.groups:
        tokens = known.get(group.model) or _dated(group.model, known)
        cost = kit.prices.price("anthropic", group.model, "dearest").cost(tokens, batch=True)
        row = msgspec.structs.replace(
            held.row,
            attempt=group.number,
            reservation=group.reservation,
            reserved=group.reserved,
            model=group.model,
            tokens=tokens,
            cost=cost,
            list_cost=cost,
            baseline_model=group.model,
            baseline_cost=cost,
            price_version=kit.prices.version,
            batch=True,
            status=200,
            outcome="ok",
        )
        kit.outbox.put(USED, row, row.id)
        log.debug("batch settled: %s %d", group.model, cost)


def first_row(call: Call, provider: str, deployment: str) -> Usage:
    return Usage(
        request_id=call.id,
        attempt=0,
        at=call.at,
        principal=call.principal,
        door="batches",
        asked=call.features.model,
        provider=provider,
        deployment=deployment,
        reason="a batch goes to the model it names",
        routing="respect",
        pii=call.pii,
    )


def _groups(kit: Kit, calls: Sequence[Call]) -> list[Group]:
    groups: dict[str, Group] = {}
    for call in calls:
        model = model_of(kit, call)
        group = groups.setdefault(model, Group(model=model, number=len(groups) + 1, estimate=0))
        group.estimate += _worst(kit, call, model)
    return list(groups.values())


def _worst(kit: Kit, call: Call, model: str) -> int:
    """The most one request of a batch can cost."""
    price = kit.prices.price("anthropic", model, kit.settings.routing.unpriced)
    tokens = call.features.input_tokens
    rates = price.rates(tokens, batch=True)
    million = 1_000_000
    dear = tokens * rates.worst_input + call.body.max_tokens * rates.worst_output
    return -(-dear // million) + len(call.features.server_tools) * 5 * rates.web_search


async def _reserve(kit: Kit, call: Call, group: Group) -> Reservation:
    offer = Offer(
        deployment="anthropic", model=group.model, estimate=group.estimate,
        input_cost=group.estimate,
    )  # fmt: skip
    ask = Reserve(
        request_id=call.id,
        attempt=group.number,
        principal=call.principal,
        offers=(offer,),
        limits=call.key.limits,
        floor=0,
        cap=call.cap,
        ttl=RESERVED_SECONDS,
        batch=True,
    )
    return await kit.bus.ask(RESERVE, ask, kit.settings.gateway.timeouts.reserve)


async def _restored_line(kit: Kit, reader: Reader, line: bytes) -> bytes:
    """One JSON line: only a succeeded result has a message. One that may not be shown becomes an
    errored result; nobody was to see it, and the others are as good as before."""
    try:
        entry = msgspec.json.decode(line, type=dict[str, Raw])
        result = msgspec.json.decode(entry["result"], type=dict[str, Raw])
        message = bytes(result["message"])
    except NO_RESULT:
        return line
    try:
        shown = await finished(kit, reader, message)
    except PiiBlocked as refusal:
        error = error_body(refusal, reader.id)
        return msgspec.json.encode({**entry, "result": {"type": "errored", "error": error}})
    if shown is message:
        return line
    return msgspec.json.encode({**entry, "result": {**result, "message": Raw(shown)}})


def _dated(model: str, used: Mapping[str, Tokens]) -> Tokens:
    """A provider may answer with the dated name of the model that was asked for."""
    found = Tokens()
    for name, tokens in used.items():
        if DATED.sub("", name) == DATED.sub("", model):
            found = _sum(found, tokens)
    return found


def _sum(one: Tokens, other: Tokens) -> Tokens:
    return Tokens(
        **{name: getattr(one, name) + getattr(other, name) for name in Tokens.__struct_fields__}
    )

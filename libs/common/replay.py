"""Read a journaled event from its first message to its last of now, and how far others have."""

from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, TypeVar

import msgspec
from nats.js import api
from nats.js.errors import APIError, NotFoundError

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import EVENTS_STREAM, Event
from libs.common.errors import Unavailable
from libs.common.lines import read_lines

Q = TypeVar("Q")
Progress = Callable[[int, int], None]
BATCH = 512
WAIT = 10.0


def _unwatched(done: int, total: int) -> None: ...


class Reached(NamedTuple):
    """How far a durable consumer is, in numbers of the stream: all up to the first are
    acknowledged, none above the second was handed out."""

    acknowledged: int = 0
    delivered: int = 0


async def reached(bus: Bus, durable: str) -> Reached:
    """Raises Unavailable if the journal does not answer."""
    try:
        info = await bus.client.jetstream().consumer_info(EVENTS_STREAM, durable)
    except NotFoundError:  # nobody has begun yet
        return Reached()
    except (*LOST, APIError) as error:
        raise Unavailable(f"the journal does not answer: {error}") from error
    acknowledged, delivered = info.ack_floor, info.delivered
    assert acknowledged and delivered
    return Reached(acknowledged.stream_seq, delivered.stream_seq)


async def replay(
    bus: Bus,
    event: Event[Q],
    *,
    after: int = 0,
    until: int = 0,
    progress: Progress = _unwatched,
) -> AsyncIterator[list[Q]]:
    """Batches in stream order, of the messages behind number `after` up to number `until` (0:
    all there are); what is not understood is skipped, as consumers bury it. `progress` is told
    how many messages of how many are done. Raises Unavailable if the journal goes away."""
    decoder = msgspec.json.Decoder(event.body)
    config = api.ConsumerConfig(
        ack_policy=api.AckPolicy.NONE,
        deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE if after else api.DeliverPolicy.ALL,
        opt_start_seq=after + 1 if after else None,
        filter_subject=event.subject,
        inactive_threshold=60.0,
    )
    js = bus.client.jetstream()
    try:
        reader = await js.pull_subscribe(event.subject, stream=event.stream, config=config)
        left = total = (await reader.consumer_info()).num_pending or 0
        while left > 0:
            progress(total - left, total)
            messages = await reader.fetch(min(BATCH, left), timeout=WAIT)
            left -= len(messages)
            if until and messages[-1].metadata.sequence.stream > until:
                messages, left = [m for m in messages if m.metadata.sequence.stream <= until], 0
            yield [row for data in messages for row in read_lines(decoder, data.data)[0]]
        progress(total, total)
        await reader.unsubscribe()
    except (*LOST, APIError) as error:
        raise Unavailable(f"the journal went away while it was read: {error}") from error

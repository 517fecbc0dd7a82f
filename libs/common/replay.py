"""Read a journaled event from its first message to its last of now."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from nats.js import api
from nats.js.errors import APIError

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import Event
from libs.common.errors import Unavailable
from libs.common.lines import read_lines

Q = TypeVar("Q")
Progress = Callable[[int, int], None]
BATCH = 512
WAIT = 10.0


def _unwatched(done: int, total: int) -> None: ...


async def replay(
    bus: Bus, event: Event[Q], since: float = 0.0, progress: Progress = _unwatched
) -> AsyncIterator[list[Q]]:
    """Batches in stream order, from the moment `since` on; what is not understood is skipped,
    as consumers bury it. `progress` is told how many messages of how many are done. Raises
    Unavailable if the journal goes away."""
    decoder = msgspec.json.Decoder(event.body)
    config = api.ConsumerConfig(
        ack_policy=api.AckPolicy.NONE,
        deliver_policy=api.DeliverPolicy.BY_START_TIME if since else api.DeliverPolicy.ALL,
        opt_start_time=datetime.fromtimestamp(since, UTC) if since else None,
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
            yield [row for data in messages for row in read_lines(decoder, data.data)[0]]
        progress(total, total)
        await reader.unsubscribe()
    except (*LOST, APIError) as error:
        raise Unavailable(f"the journal went away while it was read: {error}") from error

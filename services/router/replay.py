"""Read the journal from its beginning, once, for `router train --from-traffic`."""

import msgspec
from nats.js import api

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.routing import DECIDED, FEEDBACK
from libs.common.contracts.usage import USED
from libs.common.errors import Unavailable
from services.router.learn import Lessons

BATCH, WAIT = 500, 1.0
DECODERS = {event.subject: msgspec.json.Decoder(event.body) for event in (DECIDED, USED, FEEDBACK)}


async def replay(bus: Bus) -> Lessons:
    """Raises Unavailable if the journal does not answer."""
    lessons = Lessons()
    config = api.ConsumerConfig(
        filter_subjects=list(DECODERS), ack_policy=api.AckPolicy.NONE, inactive_threshold=30
    )
    try:
        js = bus.client.jetstream()
        info = await js.add_consumer(EVENTS_STREAM, config)
        pull = await js.pull_subscribe_bind(consumer=info.name, stream=EVENTS_STREAM)
        left = info.num_pending or 0
        while left > 0:
            messages = await pull.fetch(min(BATCH, left), timeout=WAIT)
            left -= len(messages)
            for message in messages:
                for event in DECODERS[message.subject].decode_lines(message.data):
                    lessons.take(event)
        await js.delete_consumer(EVENTS_STREAM, info.name)
    except LOST as error:
        raise Unavailable(f"the journal does not answer: {error}") from error
    return lessons

"""Events that nobody could take: kept in the journal under `dead.v1.<durable>`."""

from typing import Any

import msgspec

from libs.common.bus import Bus
from libs.common.contracts.base import Event
from libs.common.contracts.routing import DECIDED
from libs.common.contracts.spending import ALERTED, AUDITED
from libs.common.contracts.usage import USED
from libs.common.journal import DEAD_SUBJECT


class Burial:
    """Puts an event that the store refuses beside the undecodable ones of the consumer."""

    def __init__(self, bus: Bus, durable: str) -> None:
        self._bus, self._subject = bus, f"{DEAD_SUBJECT}.{durable}"

    async def bury(self, event: object, why: str) -> None:
        kinds: tuple[Event[Any], ...] = (USED, DECIDED, ALERTED, AUDITED)
        subject = next(kind.subject for kind in kinds if isinstance(event, kind.body))
        headers = {"subject": subject, "why": why[:500].replace("\n", " ")}
        js = self._bus.client.jetstream()
        await js.publish(self._subject, msgspec.json.encode(event), headers=headers)

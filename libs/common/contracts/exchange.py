"""What was said, masked: told by the gateway only where `[audit] bodies = "masked"` is set."""

from msgspec import Struct

from libs.common.contracts.base import EVENTS_STREAM, Event
from libs.common.contracts.identity import Principal


class Exchange(Struct, frozen=True, kw_only=True):
    """`request` is JSON of the system prompt and the messages, `answer` of what the model said;
    both hold placeholders, never values. `cut` says that a part was too long to keep."""

    request_id: str
    at: float
    principal: Principal
    request: str
    answer: str = ""
    cut: bool = False


EXCHANGED = Event("exchange.v1", Exchange, stream=EVENTS_STREAM)

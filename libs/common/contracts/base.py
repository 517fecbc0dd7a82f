"""The two kinds of message on the bus, as typed values.

An Operation is asked and answered; an Event is told and never answered. A journaled event
goes through JetStream and is delivered at least once. Change rule: add fields with defaults;
never rename, retype or remove one; a breaking change is a new subject (`….v2`).
"""

from typing import Generic, TypeVar

from msgspec import Struct

Q = TypeVar("Q")
R = TypeVar("R")


class Operation(Struct, Generic[Q, R], frozen=True):
    subject: str
    request: type[Q]
    reply: type[R]


class Event(Struct, Generic[Q], frozen=True):
    """A message holds one of them, as JSON; of a `dense` kind several may travel in one, a line
    each."""

    subject: str
    body: type[Q]
    stream: str = ""
    dense: bool = False


class Done(Struct, frozen=True, kw_only=True):
    """The empty answer."""


class Nothing(Struct, frozen=True, kw_only=True):
    """The empty request."""


# One JetStream stream holds what happened (usage, decisions, alerts, audit), another the last
# word on each piece of state (budgets, keys, limits, pauses): one message per subject.
EVENTS_STREAM = "MODELMUXER_EVENTS"
STATE_STREAM = "MODELMUXER_STATE"
STATE_SUBJECTS = "state.v1.>"

# What nats-server must allow, and above which a request is split.
MAX_PAYLOAD = 8 * 1024 * 1024
SPLIT_AT = 1024 * 1024

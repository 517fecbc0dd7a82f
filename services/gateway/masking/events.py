"""An event stream cut into its events, and an event with other data in it."""

import json
import re

import msgspec

from services.gateway.masking import jsontext

BOUNDARY = re.compile(rb"\n\r?\n")
DATA = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)
# Which field of a delta holds what the model says, by the delta's type.
DELTAS = {"text_delta": "text", "input_json_delta": "partial_json"}


class Events:
    """Bytes in, cut anywhere; whole events out, each with its blank line."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._searched = 0

    @property
    def empty(self) -> bool:
        """No event has begun that is not whole yet."""
        return not self._partial

    def feed(self, chunk: bytes) -> list[bytes]:
        self._partial += chunk
        events: list[bytes] = []
        start = 0
        for match in BOUNDARY.finditer(self._partial, max(self._searched - 2, 0)):
            events.append(bytes(self._partial[start : match.end()]))
            start = match.end()
        del self._partial[:start]
        self._searched = len(self._partial)
        return events

    def rest(self) -> bytes:
        """An event that never became whole."""
        rest = bytes(self._partial)
        self._partial.clear()
        return rest


def parsed(event: bytes) -> "tuple[re.Match[bytes], dict[str, object]] | None":
    """Where an event's data stands, and the data, if it is a JSON object."""
    place = DATA.search(event)
    if place is None:
        return None
    try:
        value = msgspec.json.decode(place[1])
    except (ValueError, RecursionError):
        try:
            value = json.loads(place[1])
        except (ValueError, RecursionError):
            return None
    return (place, value) if isinstance(value, dict) else None


def with_data(event: bytes, place: "re.Match[bytes]", data: dict[str, object]) -> bytes:
    return event[: place.start(1)] + bytes(jsontext.encoded(data)) + event[place.end(1) :]


def delta_event(index: int, kind: str, text: str) -> bytes:
    data = {
        "type": "content_block_delta",
        "index": index,
        "delta": {"type": kind, DELTAS[kind]: text},
    }
    return b"event: content_block_delta\ndata: " + bytes(jsontext.encoded(data)) + b"\n\n"

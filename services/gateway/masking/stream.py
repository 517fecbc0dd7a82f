"""Put values back into an Anthropic event stream as its bytes pass.

An event that holds nothing to restore passes as it is, unparsed. A delta that ends in what may
become a placeholder lends that end to the next delta of its block, for one placeholder's length
at most; `content_block_stop` flushes it. Thinking passes unrestored: its signature covers the
placeholders.
"""

import json
import re
from collections.abc import Mapping

import msgspec
from msgspec import Raw

from services.gateway.masking import jsontext
from services.gateway.masking.restore import Lexicon, restore_block

# A placeholder, or a text that ends in the first letters of one (`\u`: some letter, escaped).
SUSPECT = re.compile(rb"[Pp](?:[Ii](?:[Ii]|\")|\")|\\u00[57]0")
BOUNDARY = re.compile(rb"\n\r?\n")
DATA = re.compile(rb"^data: ?(.*?)\r?$", re.MULTILINE)
# Which field of a delta is restored, by the delta's type.
DELTAS = {"text_delta": "text", "input_json_delta": "partial_json"}


class StreamRestorer:
    """One stream. `unknown` counts the placeholders that no value of this request has."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self._lexicon = Lexicon(mapping) if mapping else None
        self._partial = bytearray()
        self._searched = 0
        # Block index → the delta's type and the held end of its text.
        self._held: dict[int, tuple[str, str]] = {}

    @property
    def unknown(self) -> int:
        return self._lexicon.unknown if self._lexicon else 0

    def feed(self, chunk: bytes) -> bytes:
        """The bytes that may go on now."""
        if self._lexicon is None:
            return chunk
        if not self._partial and not self._held and self._passes(chunk):
            return chunk
        self._partial += chunk
        return b"".join(self._event(event) for event in self._complete())

    def close(self) -> bytes:
        """What is left when the stream ends: held text, then an unfinished event."""
        rest = b"".join(self._flushed(index) for index in list(self._held))
        rest += bytes(self._partial)
        self._partial.clear()
        return rest

    def _passes(self, chunk: bytes) -> bool:
        """A chunk of whole events that hold nothing to restore."""
        return chunk.endswith((b"\n\n", b"\n\r\n")) and not self._is_suspect(chunk)

    def _is_suspect(self, data: bytes) -> bool:
        if SUSPECT.search(data):
            return True
        return self._lexicon is not None and self._lexicon.cites and b"citations_delta" in data

    def _complete(self) -> list[bytes]:
        """The finished events, each with its blank line."""
        events: list[bytes] = []
        start = 0
        for match in BOUNDARY.finditer(self._partial, max(self._searched - 2, 0)):
            events.append(bytes(self._partial[start : match.end()]))
            start = match.end()
        del self._partial[:start]
        self._searched = len(self._partial)
        return events

    def _event(self, event: bytes) -> bytes:
        if not self._held and not self._is_suspect(event):
            return event
        match = DATA.search(event)
        data = _parsed(match[1]) if match else None
        if match is None or data is None:
            return event
        index = data.get("index")
        match data.get("type"):
            case "content_block_delta" if isinstance(index, int):
                return self._delta(event, match, data, index)
            case "content_block_start":
                return self._start(event, match, data)
            case "content_block_stop" if isinstance(index, int):
                return self._flushed(index) + event
            case "message_delta" | "message_stop" | "error":
                return b"".join(self._flushed(held) for held in list(self._held)) + event
        return event

    def _delta(
        self, event: bytes, place: "re.Match[bytes]", data: dict[str, object], index: int
    ) -> bytes:
        delta = data.get("delta")
        if not isinstance(delta, dict):
            return event
        if delta.get("type") == "citations_delta":
            return self._citation(event, place, data)
        kind = str(delta.get("type"))
        name = DELTAS.get(kind)
        text = delta.get(name) if name else None
        if self._lexicon is None or name is None or not isinstance(text, str):
            return event
        held = self._held.pop(index, (kind, ""))[1]
        escape = jsontext.inner if name == "partial_json" else None
        ready, tail = self._lexicon.feed(held + text, escape)
        if tail:
            self._held[index] = (kind, tail)
        if ready == text:
            return event
        return _with_data(event, place, {**data, "delta": {**delta, name: ready}}) if ready else b""

    def _start(self, event: bytes, place: "re.Match[bytes]", data: dict[str, object]) -> bytes:
        block = jsontext.members(bytes(jsontext.encoded(data.get("content_block"))))
        if not block or self._lexicon is None:
            return event
        restored = restore_block(block, self._lexicon)
        return _with_data(event, place, {**data, "content_block": restored}) if restored else event

    def _citation(self, event: bytes, place: "re.Match[bytes]", data: dict[str, object]) -> bytes:
        delta = data.get("delta")
        if self._lexicon is None or not isinstance(delta, dict) or "citation" not in delta:
            return event
        cited = Raw(self._lexicon.citation(bytes(jsontext.encoded(delta["citation"]))))
        return _with_data(event, place, {**data, "delta": {**delta, "citation": cited}})

    def _flushed(self, index: int) -> bytes:
        kind, tail = self._held.pop(index, ("", ""))
        if not tail:
            return b""
        data = {
            "type": "content_block_delta",
            "index": index,
            "delta": {"type": kind, DELTAS[kind]: tail},
        }
        return b"event: content_block_delta\ndata: " + bytes(jsontext.encoded(data)) + b"\n\n"


def _parsed(data: bytes) -> dict[str, object] | None:
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            value = json.loads(data)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _with_data(event: bytes, place: "re.Match[bytes]", data: dict[str, object]) -> bytes:
    return _spliced(event, place, bytes(jsontext.encoded(data)))


def _spliced(event: bytes, place: "re.Match[bytes]", data: bytes) -> bytes:
    return event[: place.start(1)] + data + event[place.end(1) :]

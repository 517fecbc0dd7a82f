"""Put values back into an Anthropic event stream as its bytes pass.

An event that holds nothing to restore passes as it is, unparsed. A delta that ends in what may
become a placeholder lends that end to the next delta of its block, for one placeholder's length
at most; `content_block_stop` flushes it. Thinking passes unrestored: its signature covers the
placeholders.
"""

import re
from collections.abc import Collection, Mapping

from msgspec import Raw

from services.gateway.masking import jsontext
from services.gateway.masking.events import DELTAS, Events, delta_event, parsed, with_data
from services.gateway.masking.restore import Lexicon, restore_block

# A placeholder, or a text that ends in the first letters of one (`\u`: some letter, escaped).
SUSPECT = re.compile(rb"[Pp](?:[Ii](?:[Ii]|\")|\")|\\u00[57]0")


class StreamRestorer:
    """One stream. `unknown` counts the placeholders that no value of this request has."""

    def __init__(self, mapping: Mapping[str, str], own: Collection[str] = ()) -> None:
        self._lexicon = Lexicon(mapping, own) if mapping else None
        self._events = Events()
        # Block index → the delta's type and the held end of its text.
        self._held: dict[int, tuple[str, str]] = {}

    @property
    def unknown(self) -> int:
        return self._lexicon.unknown if self._lexicon else 0

    def feed(self, chunk: bytes) -> bytes:
        """The bytes that may go on now."""
        if self._lexicon is None:
            return chunk
        if self._events.empty and not self._held and self._passes(chunk):
            return chunk
        return b"".join(self._event(event) for event in self._events.feed(chunk))

    def close(self) -> bytes:
        """What is left when the stream ends: held text, then an unfinished event."""
        rest = b"".join(self._flushed(index) for index in list(self._held))
        return rest + self._events.rest()

    def _passes(self, chunk: bytes) -> bool:
        """A chunk of whole events that hold nothing to restore."""
        return chunk.endswith((b"\n\n", b"\n\r\n")) and not self._is_suspect(chunk)

    def _is_suspect(self, data: bytes) -> bool:
        if SUSPECT.search(data):
            return True
        return self._lexicon is not None and self._lexicon.cites and b"citations_delta" in data

    def _event(self, event: bytes) -> bytes:
        if not self._held and not self._is_suspect(event):
            return event
        found = parsed(event)
        if found is None:
            return event
        match, data = found
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
        return with_data(event, place, {**data, "delta": {**delta, name: ready}}) if ready else b""

    def _start(self, event: bytes, place: "re.Match[bytes]", data: dict[str, object]) -> bytes:
        block = jsontext.members(bytes(jsontext.encoded(data.get("content_block"))))
        if not block or self._lexicon is None:
            return event
        restored = restore_block(block, self._lexicon)
        return with_data(event, place, {**data, "content_block": restored}) if restored else event

    def _citation(self, event: bytes, place: "re.Match[bytes]", data: dict[str, object]) -> bytes:
        delta = data.get("delta")
        if self._lexicon is None or not isinstance(delta, dict) or "citation" not in delta:
            return event
        cited = Raw(self._lexicon.citation(bytes(jsontext.encoded(delta["citation"]))))
        return with_data(event, place, {**data, "delta": {**delta, "citation": cited}})

    def _flushed(self, index: int) -> bytes:
        kind, tail = self._held.pop(index, ("", ""))
        if not tail:
            return b""
        return delta_event(index, kind, tail)

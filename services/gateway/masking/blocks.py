"""The maskable texts of a Messages request: where they are, and how to put masked ones back.

One walk serves both: `collect` lists the texts, `rebuild` walks again and exchanges some. Only
the path to an exchanged text is encoded anew; everything beside it keeps its bytes. What is not
shaped as expected is left alone. Never touched: thinking, signatures, ids, names, tool schemas,
cache_control, base64 data, JSON keys.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TypeVar

from msgspec import Raw, Struct

from services.gateway.masking import jsontext

T = TypeVar("T")
Fields = dict[str, Raw]
Key = bytes
# A text and its place go in; what to put there instead comes out, or None to leave it.
Visit = Callable[["Block"], Raw | None]

TOOL_USES = {"tool_use", "server_tool_use", "mcp_tool_use"}
TOOL_RESULTS = {"tool_result", "mcp_tool_result"}
# Content inside content inside content: no client nests deeper than two.
MAX_NESTING = 8
PROSE = b"prose"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Block(Struct, frozen=True, dict=True):
    """`raw` is a JSON string, or the JSON object of a tool's input. `prose` marks what people
    write: only that may go to a name-recognising model."""

    raw: bytes
    place: str
    prose: bool

    @cached_property
    def key(self) -> Key:
        """Two blocks with the same key have the same findings. Hashed once, however often asked."""
        return hashlib.blake2b(self.raw, digest_size=16, salt=PROSE if self.prose else b"").digest()

    @property
    def is_input(self) -> bool:
        return self.raw[:1] != b'"'

    @property
    def exact_text(self) -> str:
        """With lone surrogates, if it has them."""
        return Leaves(self.raw).text if self.is_input else jsontext.string(self.raw) or ""

    @property
    def text(self) -> str:
        """What is scanned: always encodable, each character at its own offset."""
        text = self.exact_text
        return text if text.isascii() else LONE_SURROGATE.sub("\ufffd", text)


class Leaf(Struct, frozen=True):
    """One string or number of a tool's input: its span in the text that is scanned."""

    start: int
    end: int
    number: bool


class Leaves:
    """The values of a tool's input as one text, a `key: value` line each: the key gives the
    value its context. Offsets of findings lead back to the single values."""

    def __init__(self, raw: bytes) -> None:
        self.leaves: list[Leaf] = []
        lines: list[str] = []
        at = 0
        for key, value, number in _leaves(raw):
            start = at + len(key) + 2
            self.leaves.append(Leaf(start, start + len(value), number))
            lines.append(f"{key}: {value}\n")
            at = start + len(value) + 1
        self.text = "".join(lines)


def collect(fields: Fields) -> list[Block]:
    """Every maskable text, system first, then the messages, in their order."""
    blocks: list[Block] = []
    rebuild(fields, blocks.append)
    return blocks


def rebuild(fields: Fields, visit: Visit) -> Fields:
    """The fields with every text exchanged that `visit` answers for; the same object if none."""
    changed: Fields = {}
    if (raw := fields.get("system")) is not None:
        changed |= _changed("system", _content(raw, "system", visit, True, 0))
    if (raw := fields.get("messages")) is not None:
        changed |= _changed("messages", _messages(raw, visit))
    return {**fields, **changed} if changed else fields


def masked_documents(fields: Fields, edited: Mapping[str, T]) -> dict[int, T]:
    """Of what is known of places, what concerns the text of documents, by the number that the
    provider gives each document of the request."""
    wanted = {place for place in edited if place.endswith(".source.data")}
    if not wanted or "messages" not in fields:
        return {}
    places: list[str] = []
    for number, message in enumerate(jsontext.items(fields["messages"]) or []):
        inside = jsontext.members(message) or {}
        _note_documents(inside.get("content"), f"messages[{number}].content", places)
    sources = [f"{place}.source.data" for place in places]
    return {number: edited[at] for number, at in enumerate(sources) if at in wanted}


def _note_documents(raw: Raw | None, place: str, places: list[str]) -> None:
    for number, item in enumerate(jsontext.items(raw) or [] if raw is not None else []):
        block = jsontext.members(item) or {}
        kind = jsontext.string(block["type"]) if "type" in block else None
        if kind == "document":
            places.append(f"{place}[{number}]")
        elif kind in TOOL_RESULTS:
            _note_documents(block.get("content"), f"{place}[{number}].content", places)


def exchange(raw: bytes, masked: Mapping[int, str]) -> Raw:
    """A tool's input with the strings at these leaf numbers exchanged."""
    return _exchanged(Raw(raw), itertools.count(), masked) or Raw(raw)


def _messages(raw: Raw, visit: Visit) -> Raw | None:
    def message(item: Raw, place: str) -> Raw | None:
        fields = jsontext.members(item)
        if not fields or "content" not in fields:
            return None
        new = _content(fields["content"], f"{place}.content", visit, True, 0)
        return None if new is None else jsontext.encoded({**fields, "content": new})

    return _each(raw, "messages", message)


def _content(raw: Raw, place: str, visit: Visit, prose: bool, depth: int) -> Raw | None:
    """A string, or a list of content blocks."""
    match jsontext.kind(raw):
        case b'"':
            return visit(Block(bytes(raw), place, prose))
        case b"[" if depth < MAX_NESTING:
            return _each(raw, place, lambda item, at: _block(item, at, visit, prose, depth))
    return None


def _block(raw: Raw, place: str, visit: Visit, prose: bool, depth: int) -> Raw | None:
    fields = jsontext.members(raw)
    kind = jsontext.string(fields["type"]) if fields and "type" in fields else None
    if not fields or kind is None:
        return None
    changed: Fields = {}
    for name, part in _parts(kind, fields):
        at = f"{place}.{name}"
        if part == "source":
            changed |= _changed(name, _source(fields[name], at, visit, depth))
        elif part == "input":
            changed |= _changed(name, _input(fields[name], at, visit))
        else:
            new = _content(fields[name], at, visit, prose and part == "prose", depth + 1)
            changed |= _changed(name, new)
    return jsontext.encoded({**fields, **changed}) if changed else None


def _parts(kind: str, fields: Fields) -> Iterator[tuple[str, str]]:
    """The fields of a content block that hold text, and how to take each."""
    names: tuple[tuple[str, str], ...] = ()
    if kind == "text":
        names = (("text", "prose"),)
    elif kind in TOOL_RESULTS:
        names = (("content", "data"),)
    elif kind in TOOL_USES:
        names = (("input", "input"),)
    elif kind == "document":
        names = (("title", "prose"), ("context", "prose"), ("source", "source"))
    elif kind == "search_result":
        names = (("title", "data"), ("content", "data"))
    return ((name, part) for name, part in names if name in fields)


def _source(raw: Raw, place: str, visit: Visit, depth: int) -> Raw | None:
    """A document's text; base64, URLs and file ids are left alone."""
    fields = jsontext.members(raw)
    kind = jsontext.string(fields["type"]) if fields and "type" in fields else None
    name = {"text": "data", "content": "content"}.get(kind or "")
    if not fields or name is None or name not in fields:
        return None
    new = _content(fields[name], f"{place}.{name}", visit, True, depth + 1)
    return None if new is None else jsontext.encoded({**fields, name: new})


def _input(raw: Raw, place: str, visit: Visit) -> Raw | None:
    return visit(Block(bytes(raw), place, False)) if jsontext.kind(raw) in b"{[" else None


def _each(raw: Raw, place: str, take: Callable[[Raw, str], Raw | None]) -> Raw | None:
    elements = jsontext.items(raw) or []
    new = [take(item, f"{place}[{number}]") for number, item in enumerate(elements)]
    if not any(item is not None for item in new):
        return None
    return jsontext.encoded([b if b is not None else a for a, b in zip(elements, new, strict=True)])


def _changed(name: str, new: Raw | None) -> Fields:
    return {} if new is None else {name: new}


def _leaves(raw: bytes) -> Iterator[tuple[str, str, bool]]:
    """Key, value and whether it is a number, for each string and number, depth first."""
    stack: list[tuple[str, Raw]] = [("input", Raw(raw))]
    while stack:
        key, value = stack.pop()
        match jsontext.kind(value):
            case b"{":
                stack.extend(reversed((jsontext.members(value) or {}).items()))
            case b"[":
                stack.extend((key, item) for item in reversed(jsontext.items(value) or []))
            case b'"':
                yield key, jsontext.string(value) or "", False
            case b"t" | b"f" | b"n":
                pass
            case _:
                yield key, bytes(value).decode("ascii", "replace"), True


def _exchanged(raw: Raw, counter: Iterator[int], masked: Mapping[int, str]) -> Raw | None:
    match jsontext.kind(raw):
        case b"{":
            fields = jsontext.members(raw) or {}
            new = {name: _exchanged(value, counter, masked) for name, value in fields.items()}
            kept = {name: value for name, value in new.items() if value is not None}
            return jsontext.encoded({**fields, **kept}) if kept else None
        case b"[":
            return _each(raw, "", lambda item, _: _exchanged(item, counter, masked))
        case b"t" | b"f" | b"n":
            return None
    number = next(counter)
    return jsontext.encoded(masked[number]) if number in masked else None

"""How deep a body may nest and how many content blocks it may hold; above that it is refused
before anything reads it in full.

This runs on every request, so it first asks what the bytes can hold at all: a level takes two
of them and an opening bracket, a block takes three and a comma. Only then it looks closer, at the
speed of C and without making objects of what it sees.
"""

import re
from functools import lru_cache
from itertools import accumulate

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from libs.common.errors import InvalidRequest
from libs.common.settings.gateway import GatewaySettings

Fields = dict[str, Raw]

# Where blocks are, in the words of every door.
HOLDERS = ("messages", "input", "system", "tools")
BRACKETS = b"[{]}"
MARKS = bytes(byte for byte in range(256) if byte not in b"[{,")
OTHERS = bytes(byte for byte in range(256) if byte not in BRACKETS)
# A step down is 1 and a step up -1, as signed bytes.
STEPS = bytes.maketrans(BRACKETS, b"\x01\x01\xff\xff")
# A string; possessive, so that nothing is tried twice.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# Elements of a value that is laid out in lines: each as long as it is deep, so some 64 MB.
MAX_LINES = 64_000
KNOWN_TOOLS, KNOWN_BYTES = 64, 500_000


class Part(Struct, gc=False):
    """A message or a content block: of interest is only what it holds."""

    content: Raw | UnsetType = UNSET


PARTS = msgspec.json.Decoder(list[Part])


def check_bounds(fields: Fields, tools: bytes, settings: GatewaySettings) -> None:
    """Of a body's undecoded fields; `tools` is the one of that name. Raises InvalidRequest that
    names the field and the limit."""
    for name, raw in fields.items():
        # Clients bring the same tools with every request, most of its bytes.
        known = name == "tools" and len(tools) <= KNOWN_BYTES
        excess = (_known_excess if known else _excess)(
            tools if known else raw, name in HOLDERS, settings.max_depth - 1, settings.max_blocks
        )
        if excess:
            raise InvalidRequest(f"{name}: {excess}")


def _excess(raw: bytes | Raw, holds_blocks: bool, depth: int, blocks: int) -> str:
    """What is too much about a valid JSON value, or the empty text."""
    if len(raw) < 2 * depth + 2 and len(raw) < 3 * blocks:
        return ""
    data = bytes(raw)
    if data[:1] not in (b"[", b"{"):
        return ""
    marks = data.translate(None, MARKS)
    commas = marks.count(b",")
    if len(marks) - commas > depth and _deeper(data, len(marks), depth):
        return (
            f"nested over {depth + 1} levels deep, the limit set by gateway.max_depth; "
            "send it flatter"
        )
    if holds_blocks and commas >= blocks and _holds_more(data, blocks):
        return f"over {blocks} content blocks, the limit set by gateway.max_blocks; send fewer"
    return ""


_known_excess = lru_cache(maxsize=KNOWN_TOOLS)(_excess)


def _deeper(data: bytes, marks: int, limit: int) -> bool:
    """Whether it nests more than so many levels."""
    if marks > MAX_LINES:
        return _depth(data) > limit
    # One line for each element, indented by its depth; strings hold no line breaks.
    return b"\n" + b" " * (limit + 1) in msgspec.json.format(data, indent=1)


def _depth(data: bytes) -> int:
    """How deep a value nests, by its brackets outside strings."""
    steps = STRING.sub(b"", data).translate(STEPS, OTHERS)
    return max(accumulate(memoryview(steps).cast("b")), default=0)


def _holds_more(data: bytes, limit: int) -> bool:
    """Whether a list and what its parts hold are more than so many: messages, blocks, tools."""
    count = 0
    unread: list[bytes | Raw] = [data]
    while unread and count <= limit:
        part = unread.pop()
        if bytes(memoryview(part)[:1]) == b"[":
            try:
                parts = PARTS.decode(part)
            except msgspec.ValidationError:
                return True  # a long list of what is no block
            count += len(parts)
            unread += [each.content for each in parts if each.content is not UNSET]
    return count > limit

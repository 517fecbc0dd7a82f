"""Put values back where placeholders stand, in text that may be cut anywhere.

Models bend what they copy: lower case, `\\_` in markdown, the letter O for a zero, I or L for a
one. All of these are understood. A tag that is unknown stays as it is and is counted.
"""

import re
from collections.abc import Callable, Collection, Mapping

from msgspec import Raw

from services.gateway.masking import jsontext
from services.gateway.masking.blocks import TOOL_USES, Fields
from services.gateway.masking.marks import Edit, original

# O, I and L are no digits of the tag's alphabet; the type's letters are folded alike.
FOLD = str.maketrans("oOiIlLabcdefghjkmnpqrstuvwxyz", "001111ABCDEFGHJKMNPQRSTUVWXYZ", "\\")
UNDERSCORE = r"\\{0,3}_"
Escape = Callable[[str], str]


def fold(text: str) -> str:
    """The one spelling that all bent forms of a placeholder share."""
    return text.translate(FOLD)


class Lexicon:
    """The placeholders of one request, ready to be found in any spelling."""

    def __init__(self, mapping: Mapping[str, str], own: Collection[str] = ()) -> None:
        """`own` placeholders are ours too, and stay."""
        self._own = own
        self.values = {fold(placeholder): value for placeholder, value in mapping.items()}
        self.unknown = 0
        self._documents: Mapping[int, tuple[Edit, ...]] = getattr(mapping, "documents", {})
        self._prefixes: frozenset[str] | None = None
        types = sorted({placeholder.split("_", 1)[1].rsplit("_", 1)[0] for placeholder in mapping})
        self.hold = 4 * max(map(len, mapping), default=0)
        self._shape = re.compile(
            "[Pp][Ii][Ii]" + _bent("_(?:" + "|".join(types) + ")_") + "[0-9A-Za-z]{10}"
        )

    def restore(self, text: str, escape: Escape | None = None) -> str:
        """The text with every known placeholder exchanged for its value."""
        return self._restore(text, escape)[0]

    def feed(self, text: str, escape: Escape | None = None) -> tuple[str, str]:
        """What may go on, and the tail that may yet become a placeholder."""
        restored, rest = self._restore(text, escape)
        kept = self._tail(rest)
        return restored[: len(restored) - kept], rest[len(rest) - kept :] if kept else ""

    def overlaps(self, text: str, start: int, end: int) -> bool:
        """Whether a known placeholder, in any spelling, shares a character with that span."""
        around = max(start - self.hold, 0)
        return any(
            match.end() > start and match.start() < end and fold(match[0]) in self.values
            for match in self._shape.finditer(text, around, end + self.hold)
        )

    def citation(self, raw: bytes) -> bytes:
        """A citation of a masked document, led back to the text the client knows."""
        text = raw.decode("utf-8", "surrogatepass")
        fields = jsontext.members(
            self.restore(text, jsontext.inner).encode("utf-8", "surrogatepass")
        )
        if not fields:
            return raw
        made = self._documents.get(_number(fields.get("document_index")), ())
        for name in ("start_char_index", "end_char_index") if made else ():
            offset = _number(fields.get(name))
            if offset >= 0:
                place = original(offset, made, is_end=name.startswith("end"))
                fields[name] = jsontext.encoded(place)
        return bytes(jsontext.encoded(fields))

    @property
    def cites(self) -> bool:
        return bool(self._documents)

    def _restore(self, text: str, escape: Escape | None) -> tuple[str, str]:
        """The restored text, and its end behind the last value."""
        pieces: list[str] = []
        done = at = 0
        while match := self._shape.search(text, at):
            value = self.values.get(fold(match[0]))
            if value is None:
                self.unknown += match[0] not in self._own
                at = match.start() + 1
                continue
            pieces += (text[done : match.start()], escape(value) if escape else value)
            done = at = match.end()
        rest = text[done:]
        return "".join([*pieces, rest]) if pieces else text, rest

    def _tail(self, text: str) -> int:
        """The length of the longest end of the text that a placeholder may begin with."""
        window = text[-self.hold :]
        for at, char in enumerate(window):
            if char in "pP" and fold(window[at:]) in self._known_prefixes():
                return len(window) - at
        return 0

    def _known_prefixes(self) -> frozenset[str]:
        if self._prefixes is None:
            self._prefixes = frozenset(
                name[:length] for name in self.values for length in range(1, len(name))
            )
        return self._prefixes


def restore_message(
    body: bytes,
    mapping: Mapping[str, str],
    own: Collection[str] = (),
    unknown: Callable[[int], object] | None = None,
) -> bytes:
    """A whole answer with values put back: in its texts and tool inputs, never in thinking.
    `unknown` is told how many placeholders had no value; `own` ones are meant to have none."""
    if not mapping or not (holds_placeholder(body) or b"char_location" in body):
        return body
    lexicon = Lexicon(mapping, own)
    message = jsontext.members(body)
    content = jsontext.items(message["content"]) if message and "content" in message else None
    if not message or content is None:
        return body
    new = [restore_block(jsontext.members(item) or {}, lexicon) for item in content]
    if unknown:
        unknown(lexicon.unknown)
    if not any(new):
        return body
    merged = [b if b else a for a, b in zip(content, new, strict=True)]
    return bytes(jsontext.encoded({**message, "content": merged}))


def restore_block(fields: Fields, lexicon: Lexicon) -> Fields | None:
    """A content block with values put back, or None if it holds none."""
    kind = jsontext.string(fields["type"]) if "type" in fields else None
    name = "text" if kind == "text" else "input" if kind in TOOL_USES else ""
    changed: Fields = {}
    if name in fields and holds_placeholder(bytes(fields[name])):
        text = bytes(fields[name]).decode("utf-8", "surrogatepass")
        restored = lexicon.restore(text, jsontext.inner)
        changed[name] = Raw(restored.encode("utf-8", "surrogatepass"))
    if name == "text" and (cited := _citations(fields, lexicon)) is not None:
        changed["citations"] = cited
    return {**fields, **changed} if changed else None


def _citations(fields: Fields, lexicon: Lexicon) -> Raw | None:
    raw = fields.get("citations")
    if raw is None or not (lexicon.cites or holds_placeholder(bytes(raw))):
        return None
    cited = [Raw(lexicon.citation(bytes(item))) for item in jsontext.items(raw) or []]
    return jsontext.encoded(cited) if cited else None


def _number(raw: Raw | None) -> int:
    """A whole number of an answer; -1 for anything else."""
    text = bytes(raw) if raw is not None else b""
    return int(text) if text.isdigit() and len(text) < 16 else -1


def holds_placeholder(raw: bytes) -> bool:
    """Whether it is worth a closer look."""
    return b"PII" in raw or b"pii" in raw.lower()


def _bent(pattern: str) -> str:
    """The pattern in all spellings: any case, escaped underscores, I, L and 1, O and 0."""
    classes = {"I": "[Ii1Ll]", "L": "[Ii1Ll]", "O": "[Oo0]", "_": UNDERSCORE}
    return "".join(classes.get(c, f"[{c}{c.lower()}]" if c.isalpha() else c) for c in pattern)

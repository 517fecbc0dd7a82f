"""Put values back where placeholders stand, in text that may be cut anywhere.

Models bend what they copy: lower case, `\\_` in markdown, the letter O for a zero, I or L for a
one. All of these are understood. A tag that is unknown stays as it is and is counted.
"""

import re
from collections.abc import Callable, Mapping

from msgspec import Raw

from services.gateway.masking import jsontext
from services.gateway.masking.blocks import TOOL_USES, Fields

# O, I and L are no digits of the tag's alphabet; the type's letters are folded alike.
FOLD = str.maketrans("oOiIlLabcdefghjkmnpqrstuvwxyz", "001111ABCDEFGHJKMNPQRSTUVWXYZ", "\\")
UNDERSCORE = r"\\{0,3}_"
Escape = Callable[[str], str]


def fold(text: str) -> str:
    """The one spelling that all bent forms of a placeholder share."""
    return text.translate(FOLD)


class Lexicon:
    """The placeholders of one request, ready to be found in any spelling."""

    def __init__(self, mapping: Mapping[str, str]) -> None:
        self.values = {fold(placeholder): value for placeholder, value in mapping.items()}
        self.unknown = 0
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

    def _restore(self, text: str, escape: Escape | None) -> tuple[str, str]:
        """The restored text, and its end behind the last value."""
        pieces: list[str] = []
        done = at = 0
        while match := self._shape.search(text, at):
            value = self.values.get(fold(match[0]))
            if value is None:
                self.unknown += 1
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


def restore_message(body: bytes, mapping: Mapping[str, str]) -> bytes:
    """A whole answer with values put back: in its texts and tool inputs, never in thinking."""
    if not mapping or not holds_placeholder(body):
        return body
    lexicon = Lexicon(mapping)
    message = jsontext.members(body)
    content = jsontext.items(message["content"]) if message and "content" in message else None
    if not message or content is None:
        return body
    new = [restore_block(jsontext.members(item) or {}, lexicon) for item in content]
    if not any(new):
        return body
    merged = [b if b else a for a, b in zip(content, new, strict=True)]
    return bytes(jsontext.encoded({**message, "content": merged}))


def restore_block(fields: Fields, lexicon: Lexicon) -> Fields | None:
    """A content block with values put back, or None if it holds none."""
    kind = jsontext.string(fields["type"]) if "type" in fields else None
    name = "text" if kind == "text" else "input" if kind in TOOL_USES else ""
    changed: Fields = {}
    for part in (name, "citations") if name == "text" else (name,):
        if part in fields and holds_placeholder(bytes(fields[part])):
            restored = lexicon.restore(
                bytes(fields[part]).decode("utf-8", "surrogatepass"), jsontext.inner
            )
            changed[part] = Raw(restored.encode("utf-8", "surrogatepass"))
    return {**fields, **changed} if changed else None


def holds_placeholder(raw: bytes) -> bool:
    """Whether it is worth a closer look."""
    return b"PII" in raw or b"pii" in raw.lower()


def _bent(pattern: str) -> str:
    """The pattern in all spellings: any case, escaped underscores, I, L and 1, O and 0."""
    classes = {"I": "[Ii1Ll]", "L": "[Ii1Ll]", "O": "[Oo0]", "_": UNDERSCORE}
    return "".join(classes.get(c, f"[{c}{c.lower()}]" if c.isalpha() else c) for c in pattern)

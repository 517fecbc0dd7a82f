"""Keys of vendors, by the prefix that the vendor gave them so that they can be found.

A token run of some length is looked up by its first characters; the vendor's own format decides.
"""

import re
from collections.abc import Iterator

from services.pii.rules import shape
from services.pii.rules.dummies import is_filler
from services.pii.rules.hit import Hit, Text
from services.pii.rules.vendors import INSIDE, VENDORS

LITERAL = re.compile(r"[A-Za-z0-9_-]{1,3}(?![{?])")


def _table() -> dict[str, list[tuple[str, "re.Pattern[str]"]]]:
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for vendor, pattern in VENDORS:
        head = LITERAL.match(pattern)
        assert head, pattern
        table.setdefault(head[0], []).append((vendor, re.compile(pattern)))
    return table


TABLE = _table()


# A key of a vendor we do not know, in the common form: names, one of which says what it is, then
# random characters.
UNKNOWN = re.compile(
    r"(?:[a-z][a-z0-9]{0,11}[_-]){0,2}"
    r"(?:live|prod|pat|sk|rk|ak|key|secret|token|api|apikey|svc|admin|access|auth|priv|private)"
    r"[_-](?:[a-z0-9]{1,8}[_-])?([A-Za-z0-9]{20,200})(?![A-Za-z0-9])"
)


FORMATS = tuple((vendor, re.compile(pattern)) for vendor, pattern in INSIDE)
SHORTEST = 36


def find(text: Text) -> Iterator[Hit]:
    for start, end in text.runs():
        while start < end and text.text[start] in "-_":
            start += 1
        hit = _vendor_key(text.text, start)
        if hit is None and end - start >= SHORTEST:
            hit = _by_inside(text.text, start)
        if hit:
            yield hit


def _by_inside(text: str, start: int) -> Hit | None:
    for vendor, pattern in FORMATS:
        match = pattern.match(text, start)
        if match and not is_filler(match[0]):
            return Hit(start, match.end(), "SECRET", 1.0, f"the key format of {vendor}")
    return None


def _vendor_key(text: str, start: int) -> Hit | None:
    for head in (text[start : start + 3], text[start : start + 2], text[start : start + 1]):
        for vendor, pattern in TABLE.get(head, ()):
            match = pattern.match(text, start)
            if match and not is_filler(match[0]):
                return Hit(start, match.end(), "SECRET", 1.0, f"the key format of {vendor}")
    match = UNKNOWN.match(text, start)
    if match and _is_key(match[1]):
        return Hit(start, match.end(), "SECRET", 0.8, "the common form of keys")
    return None


def _is_key(tail: str) -> bool:
    """All three kinds of characters, and random: hexadecimal tails are mostly ids."""
    return len(shape.kinds(tail)) == 3 and shape.jumble(tail) >= 0.27 and not is_filler(tail)

"""Values that are never found, and values that always are: what the operator decides."""

import re
from collections.abc import Iterable, Iterator

from libs.common.contracts.pii import NAMED_TYPES, TYPES, canonical
from services.pii.rules.hit import Hit

DENIED = "CUSTOM"


class Lists:
    """`allow`: a value, or `@domain` for all addresses there. `deny`: `TYPE:value` or a value."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        entries = {entry.strip().casefold() for entry in allow if entry.strip()}
        self._values = frozenset(entry for entry in entries if not entry.startswith("@"))
        self._domains = tuple(sorted(entry for entry in entries if entry.startswith("@")))
        self._types = dict(_typed(entry) for entry in deny if entry.strip())
        self._denied = _any_of(self._types)

    def allows(self, hit: Hit, text: str) -> bool:
        value = text[hit.start : hit.end].casefold()
        return value in self._values or (hit.type == "EMAIL" and value.endswith(self._domains))

    def denied(self, text: str) -> Iterator[Hit]:
        if self._denied:
            for match in self._denied.finditer(text):
                type_ = self._types[match[0]]
                yield Hit(match.start(), match.end(), type_, 1.0, "a value of the deny list")


def _typed(entry: str) -> tuple[str, str]:
    head, colon, value = entry.partition(":")
    type_ = canonical(head)
    return (value, type_) if colon and type_ in TYPES + NAMED_TYPES else (entry, DENIED)


def _any_of(values: Iterable[str]) -> "re.Pattern[str] | None":
    """The exact values, longest first, and not inside longer words."""
    words = [
        rf"{'(?<!' + chr(92) + 'w)' if value[0].isalnum() else ''}{re.escape(value)}"
        rf"{'(?!' + chr(92) + 'w)' if value[-1].isalnum() else ''}"
        for value in sorted(values, key=len, reverse=True)
    ]
    return re.compile("|".join(words)) if words else None

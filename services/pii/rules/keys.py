"""Keys of vendors, by the prefix that the vendor gave them so that they can be found.

A token run of some length is looked up by its first characters; the vendor's own format decides.
"""

import re
from collections.abc import Iterator

from services.pii.rules.dummies import is_filler
from services.pii.rules.hit import Hit, Text
from services.pii.rules.vendors import VENDORS

RUN = re.compile(r"[A-Za-z0-9_-]{16,}")
HEAD = 3


def _table() -> dict[str, list[tuple[str, "re.Pattern[str]"]]]:
    table: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for vendor, pattern in VENDORS:
        table.setdefault(pattern[:HEAD], []).append((vendor, re.compile(pattern)))
    return table


TABLE = _table()


def find(text: Text) -> Iterator[Hit]:
    for run in RUN.finditer(text.text):
        start = run.start()
        while start < run.end() and text.text[start] in "-_":
            start += 1
        for vendor, pattern in TABLE.get(text.text[start : start + HEAD], ()):
            match = pattern.match(text.text, start)
            if match and not is_filler(match[0]):
                yield Hit(start, match.end(), "SECRET", 1.0, f"the key format of {vendor}")
                break

"""Find personal data and secrets in a text. Pure: the same text gives the same hits."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

from services.pii.rules import addresses, assigned, emails, keys, material, numbers, phones
from services.pii.rules.hit import Hit, Rule, Text
from services.pii.rules.placeholder import PLACEHOLDER

# A part of every cache key: raise it with every change of what is found.
RULES_VERSION = "2"

# In this order: of two hits that overlap, the earlier rule's stays.
RULES: tuple[Rule, ...] = (
    keys.find,
    material.find,
    assigned.find,
    emails.find,
    numbers.find,
    addresses.find,
)

# A piece is scanned with what precedes it, for context, and what follows it, for what straddles
# its end: no rule looks further back, and no hit is longer.
PIECE, BACK, AHEAD = 262_144, 4_096, 20_480


class Detector:
    """The rules with one home region for phone numbers."""

    def __init__(self, region: str = "US") -> None:
        self._rules = (*RULES, phones.rule(region))

    def hits(self, text: str) -> list[Hit]:
        """In the order of the text, none overlapping another."""
        whole = Text(text)
        found = disjoint(hit for rule in self._rules for hit in rule(whole))
        if "PII_" not in text:
            return found
        return [hit for hit in found if not PLACEHOLDER.search(text, hit.start, hit.end)]


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """A long text in pieces that overlap, each with the offset where its own part begins."""
    for start in range(0, max(len(text), 1), PIECE):
        yield start, text[max(0, start - BACK) : start + PIECE + AHEAD]


def own(start: int, hits: Iterable[Hit]) -> Iterator[Hit]:
    """The hits that begin in a piece's own part, at their offsets in the whole text."""
    shift = max(0, start - BACK)
    for hit in hits:
        if start <= hit.start + shift < start + PIECE:
            yield hit._replace(start=hit.start + shift, end=hit.end + shift)


def disjoint(hits: Iterable[Hit]) -> list[Hit]:
    """Of hits that overlap, the one that comes first in `hits`; in the order of the text."""
    kept: list[Hit] = []
    for hit in hits:
        at = bisect_left(kept, hit.start, key=_start)
        before, after = kept[at - 1 : at] if at else [], kept[at : at + 1]
        if not (before and before[0].end > hit.start or after and after[0].start < hit.end):
            kept.insert(at, hit)
    return kept


def _start(hit: Hit) -> int:
    return hit.start

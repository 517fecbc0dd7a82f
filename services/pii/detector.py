"""Find personal data and secrets in a text. Pure: the same text gives the same findings."""

from collections.abc import Iterable

from libs.common.contracts.pii import Finding, Reason
from services.pii.rules import emails, keys
from services.pii.rules.hit import Hit, Rule, Text

RULES_VERSION = "1"
RULES: tuple[Rule, ...] = (keys.find, emails.find)


class Detector:
    """`allow` lists values that are never found, `deny` values that always are (`TYPE:value`,
    or a value alone)."""

    def __init__(
        self, *, allow: Iterable[str] = (), deny: Iterable[str] = (), region: str = "US"
    ) -> None:
        self.allow = frozenset(allow)
        self.region = region
        self.version = RULES_VERSION

    def scan(self, text: str) -> list[Finding]:
        """Findings in order, none overlapping another."""
        return [Finding(hit.start, hit.end, hit.type, hit.score) for hit in self.hits(text)]

    def explain(self, text: str) -> list[Reason]:
        return [
            Reason(finding=Finding(hit.start, hit.end, hit.type, hit.score), why=hit.why)
            for hit in self.hits(text)
        ]

    def hits(self, text: str) -> list[Hit]:
        whole = Text(text)
        found = [hit for rule in RULES for hit in rule(whole)]
        found = [hit for hit in found if text[hit.start : hit.end] not in self.allow]
        return disjoint(found)


def disjoint(hits: list[Hit]) -> list[Hit]:
    """Of hits that overlap, the longer one; in order."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda h: (h.start, -h.end)):
        if not kept or hit.start >= kept[-1].end:
            kept.append(hit)
        elif hit.end - hit.start > kept[-1].end - kept[-1].start:
            kept[-1] = hit
    return kept

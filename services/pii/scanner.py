"""One text to its findings: the engine on bounded pieces, then the operator's lists."""

import hashlib
from collections.abc import Iterable

import msgspec

from libs.common.contracts.pii import TYPES, Finding, Reason
from libs.common.settings.pii import PiiLists, PiiSettings
from services.pii.detector import RULES_VERSION, Detector, disjoint, own, pieces
from services.pii.engine import Engine
from services.pii.lists import Lists
from services.pii.rules.hit import Hit


class Scanner:
    def __init__(self, settings: PiiSettings) -> None:
        self._engine = Engine(Detector(settings.region), settings.model)
        self._general = _lists(settings, PiiLists())
        self._orgs = {org: _lists(settings, lists) for org, lists in settings.orgs.items()}

    def scan(self, text: str, *, prose: bool = False, org: str = "default") -> tuple[Finding, ...]:
        """Findings in order, none overlapping another."""
        hits = self._hits(text, prose, org)
        return tuple(Finding(hit.start, hit.end, hit.type, hit.score) for hit in hits)

    def explain(self, text: str, *, org: str = "default") -> tuple[Reason, ...]:
        return tuple(
            Reason(finding=Finding(hit.start, hit.end, hit.type, hit.score), why=hit.why)
            for hit in self._hits(text, True, org)
        )

    def part(self, start: int, piece: str, *, prose: bool = False) -> list[Hit]:
        """The hits of one piece, at their offsets in the whole text."""
        return list(own(start, self._engine.hits(piece, prose=prose)))

    def joined(self, text: str, hits: Iterable[Hit], org: str = "default") -> list[Hit]:
        """The hits of all pieces as the hits of the text: rules before names, lists over both."""
        lists = self._orgs.get(org, self._general)
        found = sorted(hits, key=lambda hit: (hit.type not in TYPES, hit.start, -hit.end))
        kept = (hit for hit in found if not lists.allows(hit, text))
        return disjoint([*lists.denied(text), *kept])

    def _hits(self, text: str, prose: bool, org: str) -> list[Hit]:
        found = (
            hit for start, piece in pieces(text) for hit in self.part(start, piece, prose=prose)
        )
        return self.joined(text, found, org)


def version(settings: PiiSettings) -> str:
    """What findings depend on besides the text: a cache of findings is stale when it changes."""
    shape = (settings.allow, settings.deny, settings.orgs, settings.model, settings.region)
    digest = hashlib.blake2b(msgspec.json.encode(shape, order="sorted"), digest_size=6)
    return f"{RULES_VERSION}-{digest.hexdigest()}"


def _lists(settings: PiiSettings, own_lists: PiiLists) -> Lists:
    return Lists([*settings.allow, *own_lists.allow], [*settings.deny, *own_lists.deny])

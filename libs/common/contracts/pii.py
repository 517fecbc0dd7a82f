"""Texts to pii, findings back. Offsets are in characters; no value ever travels back."""

from msgspec import Struct

from libs.common.contracts.base import Operation

# The entity types the rules find; a name-recognising model adds the second row.
TYPES = ("EMAIL", "PHONE", "CREDIT_CARD", "IBAN", "SSN", "IP", "SECRET", "CUSTOM")
NAMED_TYPES = ("PERSON", "ADDRESS", "LOCATION", "ORG")
# Other names for them, so that a policy written for another tool means the same here.
ALIASES = {
    "CARD": "CREDIT_CARD",
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "IBAN_CODE": "IBAN",
    "US_SSN": "SSN",
    "IP_ADDRESS": "IP",
    "API_KEY": "SECRET",
    "PASSWORD": "SECRET",
    "CREDENTIAL": "SECRET",
    "PRIVATE_KEY": "SECRET",
    "ORGANIZATION": "ORG",
    "STREET_ADDRESS": "ADDRESS",
}


def canonical(name: str) -> str:
    """The one name of an entity type."""
    name = name.strip().upper()
    return ALIASES.get(name, name)


class Scan(Struct, frozen=True, kw_only=True):
    """`prose` marks the texts that may go to a name-recognising model, by position."""

    request_id: str
    texts: tuple[str, ...]
    prose: tuple[bool, ...] = ()
    org: str = "default"


class Finding(Struct, frozen=True, array_like=True):
    """One span of one text: [start, end) in characters, entity type, score 0..1."""

    start: int
    end: int
    type: str
    score: float = 1.0


class Findings(Struct, frozen=True, kw_only=True):
    """One list per text, in the order of the texts, spans sorted and not overlapping.
    `rules` is the version of the rules: a part of every cache key."""

    texts: tuple[tuple[Finding, ...], ...]
    rules: str = ""


class Explain(Struct, frozen=True, kw_only=True):
    text: str
    org: str = "default"


class Reason(Struct, frozen=True, kw_only=True):
    finding: Finding
    why: str


class Explained(Struct, frozen=True, kw_only=True):
    reasons: tuple[Reason, ...]


SCAN = Operation("pii.scan.v1", Scan, Findings)
EXPLAIN_PII = Operation("pii.explain.v1", Explain, Explained)

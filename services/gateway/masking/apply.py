"""Mask a request: exchange every found value for its placeholder. Pure; nothing is kept.

The prefix rule: the masked form of a block depends on that block and on the blocks before it,
never on what comes after. So a longer conversation repeats the masked bytes of a shorter one,
and the provider's prompt cache holds.
"""

import re
from collections.abc import Mapping, Sequence

from msgspec import Raw, Struct, field

from libs.common.contracts.pii import Finding
from services.gateway.masking import jsontext
from services.gateway.masking.blocks import Block, Fields, Key, Leaf, Leaves, exchange, rebuild
from services.gateway.masking.placeholders import PLACEHOLDER, Placeholders
from services.gateway.masking.policy import Policy

# A shorter value found earlier would be masked all over later text by mere chance.
MIN_CARRIED = 5

Span = tuple[int, int, str]


class Masked(Struct, frozen=True, kw_only=True):
    """`mapping` leads from placeholder to value; `counts` has the distinct values per type that
    were masked or reported; `kept` those in JSON numbers, which stay. `blocked` names the type
    and place that the policy forbids: then nothing may be sent."""

    fields: Fields
    mapping: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    blocked: tuple[str, str] | None = None


def apply(
    fields: Fields,
    blocks: Sequence[Block],
    findings: Mapping[Key, Sequence[Finding]],
    policy: Policy,
    placeholders: Placeholders,
) -> Masked:
    """`blocks` as `collect` gave them; `findings` by block key."""
    run = _Run(policy, placeholders)
    changed: dict[int, Raw] = {}
    for number, block in enumerate(blocks):
        new = run.mask(block, findings.get(block.key, ()))
        if run.blocked:
            return Masked(fields=fields, counts=run.counts(), blocked=run.blocked)
        if new is not None:
            changed[number] = new
    if changed:
        numbers = iter(range(len(blocks)))
        fields = rebuild(fields, lambda _: changed.get(next(numbers)))
    return Masked(fields=fields, mapping=run.mapping, counts=run.counts(), kept=run.kept)


class _Run:
    """One request on its way through: what was found so far, and what stands for it."""

    def __init__(self, policy: Policy, placeholders: Placeholders) -> None:
        self.policy, self.placeholders = policy, placeholders
        self.mapping: dict[str, str] = {}
        self.kept: dict[str, int] = {}
        self.blocked: tuple[str, str] | None = None
        self._seen: dict[str, set[str]] = {}
        self._carried: dict[str, tuple[str, re.Pattern[str]]] = {}

    def counts(self) -> dict[str, int]:
        return {type_: len(values) for type_, values in sorted(self._seen.items())}

    def mask(self, block: Block, findings: Sequence[Finding]) -> Raw | None:
        """The masked form of a block, or None if it stays as it is."""
        if not findings and not self._carried:
            return None
        if block.is_input:
            return self._mask_input(block, findings)
        text = jsontext.string(block.raw) or ""
        spans = self._wanted(text, findings, block.place)
        self._learn(text, spans)
        masked = self._masked(text, spans)
        return None if masked == text else jsontext.encoded(masked)

    def _mask_input(self, block: Block, findings: Sequence[Finding]) -> Raw | None:
        whole = Leaves(block.raw)
        spans = self._wanted(whole.text, findings, block.place)
        self._learn(whole.text, spans)
        changed: dict[int, str] = {}
        for number, leaf in enumerate(whole.leaves):
            text = whole.text[leaf.start : leaf.end]
            inside = _clipped(spans, leaf)
            if leaf.number:
                self._keep(inside)
            elif (masked := self._masked(text, inside)) != text:
                changed[number] = masked
        return exchange(block.raw, changed) if changed else None

    def _wanted(self, text: str, findings: Sequence[Finding], place: str) -> list[Span]:
        """The findings to mask. Reported ones are counted; a forbidden one ends the run."""
        spans: list[Span] = []
        for found in findings:
            action = self.policy.action(found.type)
            if action == "allow" or PLACEHOLDER.search(text, found.start, found.end):
                continue
            if action == "mask":
                spans.append((found.start, found.end, found.type))
                continue
            self._count(found.type, text[found.start : found.end])
            if action == "block" and not self.blocked:
                self.blocked = (found.type, place)
        return spans

    def _masked(self, text: str, spans: list[Span]) -> str:
        spans = _disjoint(spans + self._carried_into(text))
        pieces: list[str] = []
        at = 0
        for start, end, type_ in spans:
            pieces += (text[at:start], self._placeholder(type_, text[start:end]))
            at = end
        return "".join([*pieces, text[at:]]) if spans else text

    def _carried_into(self, text: str) -> list[Span]:
        """Where values of earlier blocks stand in this one, whether or not it was found there."""
        spans: list[Span] = []
        for value, (type_, pattern) in self._carried.items():
            if value in text:
                spans += ((m.start(), m.end(), type_) for m in pattern.finditer(text))
        return spans

    def _placeholder(self, type_: str, value: str) -> str:
        placeholder = self.placeholders.of(type_, value)
        if placeholder not in self.mapping:
            self.mapping[placeholder] = value
            self._count(type_, value)
        return placeholder

    def _learn(self, text: str, spans: list[Span]) -> None:
        for start, end, type_ in spans:
            value = text[start:end]
            if len(value) >= MIN_CARRIED and value not in self._carried:
                self._carried[value] = (type_, _bordered(value))

    def _count(self, type_: str, value: str) -> None:
        self._seen.setdefault(type_, set()).add(value)

    def _keep(self, spans: list[Span]) -> None:
        for _, _, type_ in spans:
            self.kept[type_] = self.kept.get(type_, 0) + 1


def _bordered(value: str) -> re.Pattern[str]:
    """The exact value, not a part of a longer word."""
    before = r"(?<!\w)" if re.match(r"\w", value) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", value) else ""
    return re.compile(f"{before}{re.escape(value)}{after}")


def _disjoint(spans: list[Span]) -> list[Span]:
    """Of spans that overlap, the longer one; in order."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s[0], -s[1])):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
        elif span[1] - span[0] > kept[-1][1] - kept[-1][0]:
            kept[-1] = span
    return kept


def _clipped(spans: list[Span], leaf: Leaf) -> list[Span]:
    """The parts of the spans that lie in one value, counted from its start."""
    return [
        (max(start, leaf.start) - leaf.start, min(end, leaf.end) - leaf.start, type_)
        for start, end, type_ in spans
        if start < leaf.end and end > leaf.start
    ]

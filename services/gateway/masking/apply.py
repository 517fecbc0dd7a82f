"""Mask a request: exchange every found value for its placeholder. Pure; no value is kept.

The prefix rule: the masked form of a block depends on that block and on the blocks before it,
never on what comes after. So a longer conversation repeats the masked bytes of a shorter one,
and the provider's prompt cache holds.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Raw, Struct, field

from libs.common.contracts.pii import Finding
from services.gateway.masking import jsontext
from services.gateway.masking.blocks import (
    Block,
    Fields,
    Key,
    Leaf,
    Leaves,
    exchange,
    masked_documents,
    rebuild,
)
from services.gateway.masking.cache import SpanCache
from services.gateway.masking.marks import Edit, Mark, disjoint, edits, spliced
from services.gateway.masking.placeholders import PLACEHOLDER, Placeholders
from services.gateway.masking.policy import Policy

# A shorter value found earlier would be masked all over later text by mere chance.
MIN_CARRIED = 5


class Originals(dict[str, str]):
    """Placeholder → value. `documents` has the edits of each masked document, by its number in
    the request, so that citations can be led back to the text the client knows."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: dict[int, tuple[Edit, ...]] = {}


class Masked(Struct, frozen=True, kw_only=True):
    """`mapping` leads from placeholder to value; `counts` has the distinct values per type that
    were masked or reported; `kept` those in JSON numbers, which stay. `blocked` names the type
    and place that the policy forbids: then nothing may be sent."""

    fields: Fields
    mapping: dict[str, str] = field(default_factory=Originals)
    counts: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    blocked: tuple[str, str] | None = None


def apply(
    fields: Fields,
    blocks: Sequence[Block],
    findings: Mapping[Key, Sequence[Finding]],
    policy: Policy,
    placeholders: Placeholders,
    cache: SpanCache | None = None,
) -> Masked:
    """`blocks` as `collect` gave them; `findings` by block key. With a cache, what was worked out
    for the same blocks in the same order is not worked out again."""
    run = _Run(policy, placeholders, cache or SpanCache())
    changed: dict[int, Raw] = {}
    edited: dict[str, tuple[Edit, ...]] = {}
    for number, block in enumerate(blocks):
        marks = run.marks(block, findings.get(block.key, ()))
        if run.blocked:
            return Masked(fields=fields, counts=run.counts(), blocked=run.blocked)
        new = run.masked(block, marks) if marks else None
        if new is not None:
            changed[number] = new
            edited[block.place] = edits(marks)
    run.mapping.documents = masked_documents(fields, edited)
    if changed:
        numbers = iter(range(len(blocks)))
        fields = rebuild(fields, lambda _: changed.get(next(numbers)))
    return Masked(fields=fields, mapping=run.mapping, counts=run.counts(), kept=run.kept)


class _Run:
    """One request on its way through: what was found so far, and what stands for it.

    `_chain` is a digest of the policy, the tenant and every value found so far: with it and a
    block, the block's marks are settled.
    """

    def __init__(self, policy: Policy, placeholders: Placeholders, cache: SpanCache) -> None:
        self.policy, self.placeholders, self.cache = policy, placeholders, cache
        self.mapping = Originals()
        self.kept: dict[str, int] = {}
        self.blocked: tuple[str, str] | None = None
        self._seen: dict[str, set[str]] = {}
        self._carried: dict[str, str] = {}
        self._chain = placeholders.digest + policy.digest

    def counts(self) -> dict[str, int]:
        return {type_: len(values) for type_, values in sorted(self._seen.items())}

    def marks(self, block: Block, findings: Sequence[Finding]) -> tuple[Mark, ...]:
        """What to exchange in a block, and what only to count."""
        if not findings and not self._carried:
            return ()
        key = self.cache.mark_key(self._chain, block, findings)
        known = self.cache.marks(key)
        text = block.exact_text if known is None or known[0] else ""
        if known is None:
            own = self._wanted(text, findings, block.place)
            marks = self._settled(text, own, block)
            known = marks, self._next_chain(text, marks)
            if not self.blocked:
                self.cache.store_marks(key, known)
        self._take(text, known[0])
        self._chain = known[1]
        return known[0]

    def masked(self, block: Block, marks: Iterable[Mark]) -> Raw | None:
        """The masked form of a block, or None if its marks are only counted."""
        marks = [mark for mark in marks if mark.placeholder]
        if not marks:
            return None
        if not block.is_input:
            return jsontext.encoded(spliced(block.exact_text, marks))
        whole = Leaves(block.raw)
        changed = {
            number: spliced(whole.text[leaf.start : leaf.end], inside, leaf.start)
            for number, leaf in enumerate(whole.leaves)
            if (inside := [m for m in marks if leaf.start <= m.start and m.end <= leaf.end])
        }
        return exchange(block.raw, changed)

    def _wanted(self, text: str, findings: Sequence[Finding], place: str) -> list[Mark]:
        """The findings that the policy does not let pass. A forbidden one ends the run."""
        marks: list[Mark] = []
        for found in findings:
            action = self.policy.action(found.type)
            if action == "allow" or PLACEHOLDER.search(text, found.start, found.end):
                continue
            if action == "block" and not self.blocked:
                self.blocked = (found.type, place)
            marks.append(Mark(found.start, found.end, found.type, masks=action == "mask"))
        return marks

    def _settled(self, text: str, own: list[Mark], block: Block) -> tuple[Mark, ...]:
        """The block's own findings and the values of earlier ones, none overlapping another,
        each inside one value of a tool's input."""
        values = dict(self._carried)
        for mark in own:
            value = text[mark.start : mark.end]
            if mark.masks and len(value) >= MIN_CARRIED:
                values.setdefault(value, mark.type)
        marks = disjoint([*own, *carried(text, values)])
        if block.is_input:
            marks = [m for leaf in Leaves(block.raw).leaves for m in _clipped(marks, leaf)]
        return tuple(self._named(text, mark) for mark in marks)

    def _named(self, text: str, mark: Mark) -> Mark:
        if not mark.masks:
            return mark
        return mark._replace(placeholder=self.placeholders.of(mark.type, mark.of(text)))

    def _next_chain(self, text: str, marks: Iterable[Mark]) -> bytes:
        """The digest with the block's new values in it; their placeholders stand for them."""
        digest = hashlib.blake2b(self._chain, digest_size=16)
        new = [m.placeholder for m in marks if m.placeholder and m.of(text) not in self._carried]
        digest.update("\0".join(new).encode())
        return digest.digest() if new else self._chain

    def _take(self, text: str, marks: Iterable[Mark]) -> None:
        for mark in marks:
            value = mark.of(text)
            if mark.number:
                self.kept[mark.type] = self.kept.get(mark.type, 0) + 1
                continue
            self._seen.setdefault(mark.type, set()).add(value)
            if mark.placeholder:
                self.mapping[mark.placeholder] = value
                if len(value) >= MIN_CARRIED:
                    self._carried.setdefault(value, mark.type)


def carried(text: str, values: Mapping[str, str]) -> list[Mark]:
    """Where values (by type) stand in a text that were found elsewhere."""
    return [
        Mark(start, start + len(value), type_)
        for value, type_ in values.items()
        if value in text
        for start in _places(text, value)
    ]


def _places(text: str, value: str) -> Iterator[int]:
    """Where the exact value stands, not as a part of a longer word."""
    start = text.find(value)
    while start >= 0:
        end = start + len(value)
        apart = not (_joined(text[start - 1 : start + 1]) or _joined(text[end - 1 : end + 1]))
        if apart:
            yield start
        start = text.find(value, end if apart else start + 1)


def _joined(pair: str) -> bool:
    """Two characters of one word."""
    return len(pair) == 2 and pair.replace("_", "a").isalnum()


def _clipped(marks: Iterable[Mark], leaf: Leaf) -> list[Mark]:
    """The parts of the marks that lie in one value of a tool's input. A number stays."""
    return [
        mark._replace(
            start=max(mark.start, leaf.start),
            end=min(mark.end, leaf.end),
            masks=mark.masks and not leaf.number,
            number=leaf.number,
        )
        for mark in marks
        if mark.start < leaf.end and mark.end > leaf.start
    ]

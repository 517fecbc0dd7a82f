"""Which blocks were scanned before: block hash → findings, and what was marked in them: offsets,
types and placeholders, never a value."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from libs.common.contracts.pii import Finding, Findings
from services.gateway.masking.blocks import Block, Key
from services.gateway.masking.marks import Mark

Spans = tuple[Finding, ...]
# The marks of a block, and the chain behind it.
Settled = tuple[tuple[Mark, ...], bytes]
DIGEST_BYTES = 16


class SpanCache:
    """Keyed with a secret of this process, so that a digest tells nothing outside it."""

    def __init__(self, capacity: int = 50_000) -> None:
        self.capacity = max(capacity, 1)
        self.rules = ""
        self._secret = os.urandom(32)
        self._spans: OrderedDict[bytes, Spans] = OrderedDict()
        self._marks: OrderedDict[bytes, Settled] = OrderedDict()

    def __len__(self) -> int:
        return len(self._spans)

    def lookup(
        self, blocks: Iterable[Block], org: str = "default"
    ) -> tuple[dict[Key, Spans], list[Block]]:
        """The findings that are known, by block key, and the blocks to scan, each once."""
        known: dict[Key, Spans] = {}
        unseen: dict[Key, Block] = {}
        for block in blocks:
            key = block.key
            if key in known or key in unseen:
                continue
            digest = self._digest(block, org)
            spans = self._spans.get(digest)
            if spans is None:
                unseen[key] = block
            else:
                self._spans.move_to_end(digest)
                known[key] = spans
        return known, list(unseen.values())

    def store(
        self, blocks: Sequence[Block], findings: Findings, org: str = "default"
    ) -> dict[Key, Spans]:
        """Remember what pii found in these blocks. New rules make all that is known stale."""
        if findings.rules != self.rules:
            self._spans.clear()
            self._marks.clear()
            self.rules = findings.rules
        for block, spans in zip(blocks, findings.texts, strict=True):
            self._spans[self._digest(block, org)] = spans
        while len(self._spans) > self.capacity:
            self._spans.popitem(last=False)
        return {block.key: spans for block, spans in zip(blocks, findings.texts, strict=True)}

    def mark_key(self, chain: bytes, block: Block, findings: Sequence[Finding]) -> bytes:
        """`chain` stands for everything but the block that its marks depend on."""
        found = hash(tuple(findings)).to_bytes(8, "big", signed=True)
        return self._keyed(block.key + chain + found)

    def marks(self, key: bytes) -> Settled | None:
        settled = self._marks.get(key)
        if settled:
            self._marks.move_to_end(key)
        return settled

    def store_marks(self, key: bytes, settled: Settled) -> None:
        self._marks[key] = settled
        if len(self._marks) > self.capacity:
            self._marks.popitem(last=False)

    def _digest(self, block: Block, org: str) -> bytes:
        return self._keyed(block.key + f"{org}\0{self.rules}".encode())

    def _keyed(self, parts: bytes) -> bytes:
        return hashlib.blake2b(parts, digest_size=DIGEST_BYTES, key=self._secret).digest()

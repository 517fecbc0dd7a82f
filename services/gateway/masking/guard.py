"""Mask what a model itself produces, as its stream passes.

Text is held until a safe border: a line's end, or white space with more behind it than any value
with spaces is long. Then it is scanned, with some of what went before as its context, and goes on
up to the border. The end of a block lets go of everything. Thinking passes: it is signed.

No I/O: each step is a generator that yields the text to scan, is sent the findings, and returns
the bytes that may go on.
"""

import itertools
import re
from collections.abc import Generator, Mapping, Sequence

from libs.common.contracts.pii import Finding
from libs.common.errors import PiiBlocked
from services.gateway.masking.apply import MIN_CARRIED, carried
from services.gateway.masking.blocks import LONE_SURROGATE
from services.gateway.masking.cells import Cell, Cells, JsonCells, PlainCells, shown, spelled
from services.gateway.masking.events import DELTAS, Events, delta_event, parsed, with_data
from services.gateway.masking.marks import Mark, disjoint
from services.gateway.masking.placeholders import PLACEHOLDER, Placeholders
from services.gateway.masking.policy import Policy
from services.gateway.masking.restore import Lexicon

# Characters. A text is scanned once DUE are held; TAIL stay back where no line ends; a run without
# white space is cut at CAP; a value that has not ended yet is awaited for LONGEST.
DUE, TAIL, CAP, LONGEST = 192, 64, 512, 4096
# What went before, for the rules that want a word beside a value.
CONTEXT = 256
BEGIN, END = "-----BEGIN ", "-----END "

Steps = Generator[str, Sequence[Finding], bytes]


class StreamGuard:
    """One stream, before its placeholders are restored. `counts`: distinct values by type.
    `made`: the placeholders that stand for the model's own values. A step raises PiiBlocked for
    a value that the policy forbids."""

    def __init__(
        self, policy: Policy, placeholders: Placeholders, mapping: Mapping[str, str]
    ) -> None:
        self._policy, self._placeholders = policy, placeholders
        self._lexicon = Lexicon(mapping) if mapping else None
        self._events = Events()
        self._held: dict[int, _Held] = {}
        self._known: dict[str, str] = {}
        self._seen: dict[str, set[str]] = {}
        self.made: set[str] = set()

    @property
    def counts(self) -> dict[str, int]:
        return {type_: len(values) for type_, values in sorted(self._seen.items())}

    def feed(self, chunk: bytes) -> Steps:
        ready: list[bytes] = []
        for event in self._events.feed(chunk):
            ready.append((yield from self._event(event)))
        return b"".join(ready)

    def close(self) -> Steps:
        """What is left when the stream ends."""
        ready = yield from self._flushed(*self._held)
        return ready + self._events.rest()

    def _event(self, event: bytes) -> Steps:
        found = parsed(event)
        if found is None:
            return event
        _, data = found
        index = data.get("index")
        match data.get("type"):
            case "content_block_delta" if isinstance(index, int):
                return (yield from self._delta(event, data.get("delta"), index))
            case "content_block_start" if isinstance(index, int):
                return self._start(event, *found, index)
            case "content_block_stop" if isinstance(index, int):
                return (yield from self._flushed(index)) + event
            case "message_delta" | "message_stop" | "error":
                return (yield from self._flushed(*self._held)) + event
        return event

    def _start(
        self, event: bytes, place: "re.Match[bytes]", data: dict[str, object], index: int
    ) -> bytes:
        """Text that a block begins with is held like its deltas."""
        block = data.get("content_block")
        if not isinstance(block, dict):
            return event
        text = block.get("text")
        if block.get("type") != "text" or not isinstance(text, str) or not text:
            return event
        self._held[index] = held = _Held("text_delta")
        held.take(text)
        return with_data(event, place, {**data, "content_block": {**block, "text": ""}})

    def _delta(self, event: bytes, delta: object, index: int) -> Steps:
        kind = str(delta.get("type")) if isinstance(delta, dict) else ""
        text = delta.get(DELTAS[kind]) if isinstance(delta, dict) and kind in DELTAS else None
        if not isinstance(text, str):
            return event
        held = self._held.setdefault(index, _Held(kind))
        held.take(text)
        return (yield from self._ready(index, held)) if len(held.cells) >= held.due else b""

    def _flushed(self, *indexes: int) -> Steps:
        ready: list[bytes] = []
        for index in indexes:
            if held := self._held.get(index):
                held.cells += held.reader.rest()
                ready.append((yield from self._ready(index, held, final=True)))
                del self._held[index]
        return b"".join(ready)

    def _ready(self, index: int, held: "_Held", final: bool = False) -> Steps:
        """What may go on of a block's text, masked."""
        text = shown(held.cells)
        end = len(text) if final else border(text)
        if not end:
            return b""
        findings = yield LONE_SURROGATE.sub("\ufffd", held.before + text)
        marks = self._marks(text, held, findings)
        end, marks = _settled(marks, end, None if final else len(text))
        if not end:
            held.due = len(text) + DUE
            return b""
        ready = self._masked(held.cells[:end], text, marks, f"content[{index}].{held.field}")
        held.release(end, text)
        return delta_event(index, held.kind, ready)

    def _marks(self, text: str, held: "_Held", findings: Sequence[Finding]) -> list[Mark]:
        """The values in the held text: found now, or before in this stream."""
        whole, shift = held.before + text, len(held.before)
        own = [
            Mark(max(f.start - shift, 0), f.end - shift, f.type, masks=self._action(f) != "report")
            for f in findings
            if f.end > shift and self._action(f) != "allow" and not self._stands_in(whole, f)
        ]
        return disjoint([*own, *carried(text, self._known)])

    def _action(self, finding: Finding) -> str:
        return self._policy.action(finding.type)

    def _stands_in(self, text: str, finding: Finding) -> bool:
        """Whether a finding is a placeholder, in any spelling that will be restored."""
        if PLACEHOLDER.search(text, finding.start, finding.end):
            return True
        return bool(self._lexicon and self._lexicon.overlaps(text, finding.start, finding.end))

    def _masked(self, cells: Sequence[Cell], text: str, marks: Sequence[Mark], place: str) -> str:
        pieces: list[str] = []
        at = 0
        for mark in itertools.chain.from_iterable(_free(each, cells) for each in marks):
            value = mark.of(text)
            pieces += (spelled(cells[at : mark.start]), self._named(mark, value, place))
            at = mark.end if mark.masks else mark.start
        return "".join([*pieces, spelled(cells[at:])])

    def _named(self, mark: Mark, value: str, place: str) -> str:
        """The placeholder of a value; nothing for one that is only counted."""
        if mark.masks and self._policy.action(mark.type) == "block":
            raise forbidden(mark.type, place)
        self._seen.setdefault(mark.type, set()).add(value)
        if not mark.masks:
            return ""
        if len(value) >= MIN_CARRIED:
            self._known.setdefault(value, mark.type)
        placeholder = self._placeholders.of(mark.type, value)
        self.made.add(placeholder)
        return placeholder


class _Held:
    """The text of one block that is not released yet, and the end of what is."""

    def __init__(self, kind: str) -> None:
        self.kind, self.field = kind, "input" if kind == "input_json_delta" else "text"
        self.reader: Cells = JsonCells() if kind == "input_json_delta" else PlainCells()
        self.cells: list[Cell] = []
        self.before = ""
        self.due = DUE

    def take(self, text: str) -> None:
        self.cells += self.reader.feed(text)

    def release(self, end: int, text: str) -> None:
        self.before = (self.before + text[:end])[-CONTEXT:]
        del self.cells[:end]
        self.due = DUE


def forbidden(kind: str, place: str) -> PiiBlocked:
    return PiiBlocked(
        f"{place} of the answer: holds {kind}, which pii.output does not let through",
        {"entity": kind, "place": place},
    )


def border(text: str) -> int:
    """How much of a text may go on: no value straddles that place. 0: wait for more."""
    end = max(text.rfind("\n"), text.rfind(" ", 0, max(len(text) - TAIL, 0))) + 1
    if not end and len(text) >= CAP:
        end = len(text) - TAIL
    key = text.rfind(BEGIN)
    if key >= 0 and len(text) < LONGEST and END not in text[key:]:
        end = min(end, key)
    return end


def _settled(marks: list[Mark], end: int, length: int | None) -> tuple[int, list[Mark]]:
    """The border led out of the values that straddle it, and the values before it. `length` of a
    text that goes on: a value that reaches it may be longer yet, so it is waited for."""
    kept: list[Mark] = []
    for mark in marks:
        if mark.start >= end:
            break
        if length is not None and mark.end == length < LONGEST:
            return mark.start, kept
        end = max(end, mark.end)
        kept.append(mark)
    return end, kept


def _free(mark: Mark, cells: Sequence[Cell]) -> list[Mark]:
    """The parts of a mark that a placeholder may take: not JSON's own characters."""
    parts: list[Mark] = []
    start = mark.start
    for at in range(mark.start, mark.end + 1):
        if at == mark.end or not cells[at].free:
            if at > start:
                parts.append(mark._replace(start=start, end=at))
            start = at + 1
    return parts

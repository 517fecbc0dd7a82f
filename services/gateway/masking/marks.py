"""Places in a text and what is put there: pure arithmetic of spans."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Mark(NamedTuple):
    """A value's place. Without a placeholder it is only counted; `number`: it is a JSON number,
    which stays."""

    start: int
    end: int
    type: str
    placeholder: str = ""
    masks: bool = True
    number: bool = False

    def of(self, text: str) -> str:
        return text[self.start : self.end]


class Edit(NamedTuple):
    """Where a placeholder stands in a masked text, and its value in the original."""

    start: int
    end: int
    original_start: int
    original_end: int


def disjoint(marks: Iterable[Mark]) -> list[Mark]:
    """Of marks that overlap, the longer one; in order."""
    kept: list[Mark] = []
    for mark in sorted(marks, key=lambda m: (m.start, -m.end)):
        if not kept or mark.start >= kept[-1].end:
            kept.append(mark)
        elif mark.end - mark.start > kept[-1].end - kept[-1].start:
            kept[-1] = mark
    return kept


def spliced(text: str, marks: Sequence[Mark], shift: int = 0) -> str:
    """The text with placeholders in place; the marks count from `shift` before it."""
    pieces: list[str] = []
    at = 0
    for mark in marks:
        pieces += (text[at : mark.start - shift], mark.placeholder)
        at = mark.end - shift
    return "".join([*pieces, text[at:]])


def edits(marks: Iterable[Mark]) -> tuple[Edit, ...]:
    made: list[Edit] = []
    grown = 0
    for mark in marks:
        if mark.placeholder:
            start = mark.start + grown
            grown += len(mark.placeholder) - (mark.end - mark.start)
            made.append(Edit(start, start + len(mark.placeholder), mark.start, mark.end))
    return tuple(made)


def original(offset: int, made: Iterable[Edit], *, is_end: bool) -> int:
    """Where an offset of the masked text lies in the original. Inside a placeholder it is moved
    out, so that the value is cited whole."""
    shift = 0
    for edit in made:
        if offset <= edit.start and not (offset == edit.start and not is_end):
            break
        if offset < edit.end:
            return edit.original_end if is_end else edit.original_start
        shift = edit.original_end - edit.end
    return offset + shift

"""What a rule finds, and the text it looks at."""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

# Each ASCII character as its kind, so that anchors of kinds are found as fast as literals. What is
# not ASCII, a non-breaking space among it, has become a question mark and may separate digits.
DIGIT, UPPER, SEPARATOR, OTHER = b"0A x"
KIND = bytes(
    DIGIT if chr(code).isdigit() else UPPER if chr(code).isupper()
    else SEPARATOR if chr(code) in " ()-/?" else code if chr(code) == "." else OTHER
    for code in range(128)
).ljust(256, b"x")  # fmt: skip
STRETCH = re.compile(rb"0[0 .]{5,}")
# The digits of the shortest address.
LEAST_DIGITS = 4
# No pattern of a number begins further before its first digit, or looks further behind its last.
MARGIN = 3
# Runs of the characters of tokens, and spaces for all others: the search skips from space to space.
IN_TOKEN = bytes(
    ord("t" if chr(code).isalnum() or chr(code) in "_-" else " ") for code in range(128)
).ljust(256, b" ")
RUN = re.compile(rb" t{16,}")


class Hit(NamedTuple):
    """`why` names the rule, for `modelmuxer pii explain`; it never holds the value."""

    start: int
    end: int
    type: str
    score: float
    why: str


class Stretch(NamedTuple):
    """Digits and what may separate them, as far as they reach."""

    start: int
    end: int
    digits: int
    dots: int


class Text:
    """A text and what several rules need of it, made once."""

    def __init__(self, text: str) -> None:
        self.text = text
        # One byte per character, so that offsets are the same.
        self._ascii = text.encode("ascii", "replace")

    @cached_property
    def lower(self) -> str:
        """Lower case with every character at its own offset."""
        lowered = self.text.lower()
        if len(lowered) == len(self.text):
            return lowered
        return "".join(c.lower() if len(c.lower()) == 1 else c for c in self.text)

    @cached_property
    def kinds(self) -> bytes:
        """`0` for a digit, `A` for a capital letter, a blank for what may separate digits."""
        return self._ascii.translate(KIND)

    def before(self, at: int, length: int) -> str:
        return self.lower[max(0, at - length) : at]

    def runs(self) -> Iterator[tuple[int, int]]:
        """The borders of the runs of token characters that are long enough for a key."""
        for run in RUN.finditer(b" " + self._ascii.translate(IN_TOKEN)):
            yield run.start(), run.end() - 1

    def numbers(
        self, pattern: "re.Pattern[str]", digits: int, dots: int = 0
    ) -> "Iterator[re.Match[str]]":
        """The matches of a pattern that needs so many digits and dots, and no more than two
        separators before each. It is tried only where they are."""
        for stretch in self._stretches:
            if stretch.digits >= digits and stretch.dots >= dots:
                start = max(0, stretch.start - MARGIN)
                yield from pattern.finditer(self.text, start, stretch.end + MARGIN)

    @cached_property
    def _stretches(self) -> list[Stretch]:
        kinds = self.kinds
        found = []
        for match in STRETCH.finditer(kinds):
            start, end = match.span()
            digits = kinds.count(b"0", start, end)
            dots = kinds.count(b".", start, end)
            if digits >= LEAST_DIGITS:
                found.append(Stretch(start, end, digits, dots))
        return found


Rule = Callable[[Text], Iterator[Hit]]

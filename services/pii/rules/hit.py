"""What a rule finds, and the text it looks at."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple


class Hit(NamedTuple):
    """`why` names the rule, for `modelmuxer pii explain`; it never holds the value."""

    start: int
    end: int
    type: str
    score: float
    why: str


class Text:
    """A text and what several rules need of it, made once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lower(self) -> str:
        """Lower case with every character at its own offset."""
        lowered = self.text.lower()
        if len(lowered) == len(self.text):
            return lowered
        return "".join(c.lower() if len(c.lower()) == 1 else c for c in self.text)

    def before(self, at: int, length: int) -> str:
        return self.lower[max(0, at - length) : at]


Rule = Callable[[Text], Iterator[Hit]]

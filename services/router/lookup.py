"""What was found in a word before, by the word."""

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
LONGEST, MOST = 40, 1 << 15


class Lookup(dict[str, T], Generic[T]):
    """`lookup[word]` is `read(word)`, remembered: the words of texts come again and again, and a
    look in a table takes a tenth of reading one (measured). Long ones are read anew; when full,
    it forgets everything."""

    def __init__(self, read: Callable[[str], T]) -> None:
        self._read = read

    def __missing__(self, word: str) -> T:
        found = self._read(word)
        if len(word) <= LONGEST:
            if len(self) >= MOST:
                self.clear()
            self[word] = found
        return found

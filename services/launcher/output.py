"""The terminal: one prefixed, coloured line per line of a child."""

import contextlib
import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

COLOURS = {"gateway": 36, "router": 35, "pii": 33, "ledger": 32, "analytics": 34}
GREY, BOLD = 90, 1
INFORMATION = re.compile(r'│ \d\d:\d\d:\d\d [DI] |"level": "(debug|info)"')
WIDTH = max(map(len, COLOURS))


class Output:
    """Writes whole lines, so that children never mix within one. With `hold`, what children
    say at their start is kept back: it matters only if the start fails."""

    def __init__(self, stream: TextIO = sys.stdout, hold: bool = False) -> None:
        self._stream = stream
        self._held: list[str] | None = [] if hold else None
        self.coloured = stream.isatty() and "NO_COLOR" not in os.environ

    def say(self, name: str, *lines: str) -> None:
        """Lines of a child, each behind its name."""
        prefix = f"{self.paint(name.ljust(WIDTH), COLOURS.get(name, GREY))} │ "
        texts = [prefix + line for line in lines]
        if self._held is None:
            self.write("\n".join(texts))
        else:
            self._held += texts

    def stop_holding(self, show: bool, told: Sequence[str] = ()) -> None:
        """From now on children are heard; `show` all they said before, or only what warns and
        holds no sentence that is `told` elsewhere."""
        held, self._held = self._held or [], None
        for text in held:
            known = INFORMATION.search(text) or any(sentence in text for sentence in told)
            if show or not known:
                self.write(text)

    def write(self, text: str) -> None:
        """Our own words. A terminal that has gone away is no reason to fail."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._stream.write(text + "\n")
            self._stream.flush()

    def paint(self, text: str, code: int) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured else text

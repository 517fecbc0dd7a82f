"""Tables for a terminal of any width: names are folded, figures are never cut, and what does not
fit is left out, the least needed column first, and said to be."""

import re
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from msgspec import Struct

GAP = "  "
# What a terminal would obey instead of showing it.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Column(Struct, frozen=True):
    """`least` is how narrow a column of names may become (0: as wide as its widest cell); the
    column with the highest `spare` goes first where there is too little room (0: it stays)."""

    name: str
    least: int = 0
    spare: int = 0
    right: bool = False


def figure(name: str, spare: int = 0) -> Column:
    """A column of numbers."""
    return Column(name, spare=spare, right=True)


def terminal_width() -> int:
    """Columns of the terminal (or COLUMNS); what is not written to one may be as wide as it is."""
    return shutil.get_terminal_size((80 if sys.stdout.isatty() else 10_000, 24)).columns


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]], width: int = 0) -> str:
    """The lines of a table of at most `width` columns (0: those of the terminal)."""
    cells = [[CONTROL.sub("�", cell) for cell in row] for row in rows]
    kept, widths = _fitted(columns, cells, width or terminal_width())
    shown = [columns[number] for number in kept]
    lines = _row(shown, widths, [column.name for column in shown])
    lines.append(GAP.join("─" * each for each in widths))
    for row in cells:
        lines += _row(shown, widths, [row[number] for number in kept])
    if missing := [c.name for number, c in enumerate(columns) if number not in kept]:
        lines.append(f"(no room for {', '.join(missing)}: widen the terminal, or --json)")
    return "\n".join(lines)


def _fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int
) -> tuple[list[int], list[int]]:
    """The numbers of the columns that are shown, and how wide each is."""
    widest = [max(_cells(text) for text in texts) for texts in _by_column(columns, rows)]
    kept = list(range(len(columns)))
    while True:
        over = sum(widest[n] for n in kept) + len(GAP) * (len(kept) - 1) - room
        folds = [max(0, widest[n] - columns[n].least) if columns[n].least else 0 for n in kept]
        spare = max(kept, key=lambda n: columns[n].spare)
        if over <= sum(folds) or not columns[spare].spare:
            return kept, [widest[n] - f for n, f in zip(kept, _shares(over, folds), strict=True)]
        kept.remove(spare)


def _by_column(
    columns: Sequence[Column], rows: Sequence[Sequence[str]]
) -> Iterable[tuple[str, ...]]:
    return zip([column.name for column in columns], *rows, strict=True)


def _shares(over: int, folds: list[int]) -> list[int]:
    """How much each column gives: the one with most to give first, until it has as little left
    as the next."""
    left = list(folds)
    for _ in range(min(over, sum(folds))):
        left[left.index(max(left))] -= 1
    return [fold - rest for fold, rest in zip(folds, left, strict=True)]


def _row(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[str]) -> list[str]:
    folded = [_fold(cell, width) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for texts in zip_longest(*folded, fillvalue=""):
        padded = map(_padded, columns, widths, texts)
        lines.append(GAP.join(padded).rstrip())
    return lines


def _fold(text: str, width: int) -> list[str]:
    if _cells(text) <= width:
        return [text]
    # Counted in characters: fewer of them, where some are two cells wide.
    return textwrap.wrap(text, max(1, width * len(text) // _cells(text))) or [""]


def _padded(column: Column, width: int, text: str) -> str:
    blank = " " * (width - _cells(text))
    return blank + text if column.right else text + blank


def _cells(text: str) -> int:
    """How many columns a text takes: two for the wide letters of East Asia and emoji."""
    if text.isascii():
        return len(text)
    return sum(_cell(letter) for letter in text)


def _cell(letter: str) -> int:
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Cf", "Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1

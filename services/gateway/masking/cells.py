"""The characters of a delta, each with the bytes that spell it: in a tool's input `\\n` is one
character of a value, a quote may be JSON's own, and a key is no value."""

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

TOKEN = re.compile(r"\\(?:u[0-9A-Fa-f]{4}|[^u])|[^\\]", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
LONGEST_ESCAPE = 6


class Cell(NamedTuple):
    """`free`: a placeholder may stand here."""

    char: str
    raw: str
    free: bool


class Cells(Protocol):
    def feed(self, piece: str) -> list[Cell]: ...

    def rest(self) -> list[Cell]: ...


class PlainCells:
    """Text is what it shows."""

    def feed(self, piece: str) -> list[Cell]:
        return [Cell(char, char, True) for char in piece]

    def rest(self) -> list[Cell]:
        return []


class JsonCells:
    """A JSON value that arrives in pieces, cut anywhere. Free are the insides of its strings,
    but for the keys."""

    def __init__(self) -> None:
        self._cut = ""
        self._open: list[str] = []
        self._inside = self._is_key = self._key_next = False

    def feed(self, piece: str) -> list[Cell]:
        text, at = self._cut + piece, 0
        cells: list[Cell] = []
        while at < len(text):
            match = TOKEN.match(text, at)
            if match is None and len(text) - at < LONGEST_ESCAPE:
                break
            raw = match[0] if match else text[at]
            cells.append(self._cell(raw))
            at += len(raw)
        self._cut = text[at:]
        return cells

    def rest(self) -> list[Cell]:
        """An escape that never became whole."""
        cells = [Cell(char, char, False) for char in self._cut]
        self._cut = ""
        return cells

    def _cell(self, raw: str) -> Cell:
        if self._inside and raw != '"':
            return Cell(_character(raw), raw, not self._is_key)
        if raw == '"':
            self._inside = not self._inside
            self._is_key = self._key_next
        elif raw in "{[":
            self._open.append(raw)
        elif raw in "}]":
            del self._open[-1:]
        if raw in "{,:":
            self._key_next = raw != ":" and self._open[-1:] == ["{"]
        return Cell(raw, raw, False)


def shown(cells: Sequence[Cell]) -> str:
    return "".join(cell.char for cell in cells)


def spelled(cells: Sequence[Cell]) -> str:
    return "".join(cell.raw for cell in cells)


def _character(raw: str) -> str:
    if len(raw) < 2:
        return raw
    return chr(int(raw[2:], 16)) if len(raw) == LONGEST_ESCAPE else ESCAPES.get(raw[1], raw[1])

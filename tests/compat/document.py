"""docs/compatibility.md, made from the cases and the tests: `python -m tests.compat.document`."""

import importlib
import sys
from pathlib import Path

from tests.compat.cases import CANNOT_FAIL, CASES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "compatibility.md"
MODULES = ("streams", "thinking", "tools", "headers", "endpoints", "money")
HEAD = """\
# Compatibility with Claude Code

Faults that Claude Code's users met behind other gateways, and the test that keeps each of them
out of this one. The page is made from the tests (`python -m tests.compat.document`); a test
fails when it is out of date, or when a row has no test.

`make compat-prove` runs the same tests against a deliberately naive relay
(tests/compat/naive.py): every row must fail there, or say why it cannot.

The real clients (Claude Code, the SDKs, opencode, aider, Cline) run by `python -m tests.clients`.

| | fault | reported in | test |
|---|---|---|---|
"""


def shown_by() -> dict[int, list[str]]:
    """The tests of each row, by name."""
    found: dict[int, list[str]] = {number: [] for number in CASES}
    for module in MODULES:
        for name, value in vars(importlib.import_module(f"tests.compat.test_{module}")).items():
            for number in getattr(value, "cases", ()):
                found[number].append(f"test_{module}.py::{name}")
    return found


def page() -> str:
    rows = []
    shown = shown_by()
    for number, (fault, source) in CASES.items():
        names = "<br>".join(f"`{name}`" for name in shown[number])
        rows.append(f"| {number} | {fault} | {source} | {names} |")
    text = HEAD + "\n".join(rows) + "\n"
    if CANNOT_FAIL:
        text += "\nRows that the naive relay cannot get wrong:\n\n"
        text += "".join(f"- {number}: {why}\n" for number, why in CANNOT_FAIL.items())
    return text


def main() -> int:
    PAGE.write_text(page())
    sys.stdout.write(f"wrote {PAGE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

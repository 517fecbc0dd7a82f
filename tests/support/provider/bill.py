"""What the stand-in charges: its own price list, its own arithmetic, whole micro-dollars.

Nothing here is shared with the services: where their books and this bill agree, two
independent calculations agree.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from math import ceil

MILLION = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Used:
    """Tokens of one call by meaning; no kind contains another."""

    input: int = 0
    read: int = 0
    write_5m: int = 0
    write_1h: int = 0
    output: int = 0
    searches: int = 0

    @property
    def all_input(self) -> int:
        return self.input + self.read + self.write_5m + self.write_1h


# USD per million tokens: input, cache read, cache write 5m, cache write 1h, output. Then, for
# some, the size of input above which a second row holds for the whole call.
PRICES: dict[str, tuple[str, int, str]] = {
    "claude-3-5-haiku": ("0.8 0.08 1 1.6 4", 0, ""),
    "claude-3-5-sonnet": ("3 0.3 3.75 6 15", 0, ""),
    "claude-haiku-4-5": ("1 0.1 1.25 2 5", 0, ""),
    "claude-haiku-5-5": ("0.1 0.01 0.125 0.2 0.5", 100_000, "0.5 0.05 0.625 1 2.5"),
    "claude-sonnet-4-5": ("3 0.3 3.75 6 15", 200_000, "6 0.6 7.5 12 22.5"),
    "claude-sonnet-4-6": ("3 0.3 3.75 6 15", 0, ""),
    "claude-sonnet-5": ("2 0.2 2.5 4 10", 0, ""),
    "claude-sonnet-5-5": ("2 0.1 2.5 4 10", 0, ""),
    "claude-opus-4-5": ("5 0.5 6.25 10 25", 0, ""),
    "claude-opus-4-8": ("5 0.5 6.25 10 25", 0, ""),
    "claude-opus-5": ("5 0.5 6.25 10 25", 0, ""),
    "claude-opus-5-5": ("4 0.2 5 8 20", 0, ""),
    "claude-fable-5": ("10 1 12.5 20 50", 0, ""),
    "claude-fable-5-2": ("8 0.2 10 16 40", 0, ""),
    "gpt-6-luna": ("0.1 0.01 0.125 0 0.5", 272_000, "0.2 0.02 0.25 0 0.75"),
    "gpt-6.1-terra": ("1 0.05 1.25 0 5", 272_000, "2 0.1 2.5 0 7.5"),
    "gpt-6.1-sol": ("2 0.1 2.5 0 10", 272_000, "4 0.2 5 0 15"),
    "gpt-6-astra": ("10 1 12.5 0 50", 272_000, "20 2 25 0 75"),
    "gemini-3.1-flash-lite": ("0.25 0.025 0 0 1.5", 0, ""),
    "gemini-3.5-flash": ("1.5 0.15 0 0 9", 0, ""),
    "gemini-3.5-flash-lite": ("0.3 0.03 0 0 2.5", 0, ""),
    "gemini-3.8-flash": ("0.75 0.075 0 0 3.75", 0, ""),
    "gemini-3.1-pro-preview": ("2 0.2 0 0 12", 200_000, "4 0.4 0 0 18"),
    "gemini-4-argon": ("2 0.1 0 0 10", 0, ""),
    "mistral-small-2603": ("0.15 0.015 0 0 0.6", 0, ""),
    "mistral-medium-3-5": ("1.5 0.15 0 0 7.5", 0, ""),
    "mistral-small-latest": ("0.15 0.015 0 0 0.6", 0, ""),
    "mistral-medium-latest": ("1.5 0.15 0 0 7.5", 0, ""),
    "mistral-large-4": ("0.7 0.07 0 0 2.1", 0, ""),
    "text-embedding-3-small": ("0.02 0 0 0 0", 0, ""),
    "mistral-embed": ("0.1 0 0 0 0", 0, ""),
    "ministral-8b-latest": ("0.15 0.015 0 0 0.15", 0, ""),
}
# Announced changes: from that day on, the other row holds.
CHANGES = {
    "gemini-3.8-flash": (date(2027, 1, 1), "1.5 0.15 0 0 7.5"),
    "gemini-4-argon": (date(2026, 12, 1), "4 0.2 0 0 20"),
}
# A search of the Anthropic web_search tool: 10 USD per thousand.
SEARCH = 10_000


def priced_as(model: str) -> str:
    """The row of a model name: itself, or the longest name it extends (`…-20251001`)."""
    names = [name for name in PRICES if model == name or model.startswith(f"{name}-2")]
    return max(names, key=len, default="")


def charge(model: str, used: Used, *, batch: bool = False, on: date | None = None) -> int:
    """Micro-dollars of one call, rounded up once."""
    name, day = priced_as(model), on or datetime.now(UTC).date()
    base, threshold, above = PRICES[name]
    if name in CHANGES and day >= CHANGES[name][0]:
        base = CHANGES[name][1]
    row = above if threshold and used.all_input > threshold else base
    rates = [Fraction(text) for text in row.split()]
    counts = (used.input, used.read, used.write_5m, used.write_1h, used.output)
    cost = sum((rate * count for rate, count in zip(rates, counts, strict=True)), Fraction())
    return ceil(cost / (2 if batch else 1)) + SEARCH * used.searches


@dataclass(frozen=True, kw_only=True)
class Line:
    """One charged call."""

    request_id: str
    message_id: str
    model: str
    used: Used
    cost: int
    complete: bool = True


@dataclass
class Bill:
    lines: list[Line] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(line.cost for line in self.lines)

    @property
    def complete(self) -> int:
        """The sum over calls whose final usage was sent."""
        return sum(line.cost for line in self.lines if line.complete)

    def by_model(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for line in self.lines:
            totals[line.model] = totals.get(line.model, 0) + line.cost
        return totals

    def add(self, line: Line) -> None:
        self.lines.append(line)

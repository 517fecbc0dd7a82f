"""Coding sessions against the real decision code, billed with the real prices.

A session is a row of tasks: a user's turn, then tool turns; its context grows, its pauses
sometimes outlive the prompt cache. Every model keeps a prefix cache of its own. What the
router sees of a task is right only so often (`sight`).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from msgspec.structs import replace

from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import Features, Route
from libs.common.prices import Price
from services.router.decide import decide
from services.router.sessions import next_pin
from services.router.view import Pin, View

EASY = {"code": "write a python function for it", "question": "what is the name of this file?"}
HARD = {
    "code": "analyze the architecture in depth and weigh the long-term consequences of it all",
    "question": "refactor the python class and fix the failing unit tests",
}
TTL, MILLION = 300.0, 1_000_000


@dataclass
class Turn:
    tokens: int
    output: int
    at: float
    user: bool
    seen_hard: bool


@dataclass
class Bill:
    """What a session costs, each model's cache with a time to live of its own."""

    prices: dict[str, Price]
    cache: dict[str, tuple[int, float]] = field(default_factory=dict)
    total: float = 0.0

    def add(self, model: str, turn: Turn) -> None:
        held, until = self.cache.get(model, (0, 0.0))
        warm = min(held, turn.tokens) if turn.at <= until else 0
        rates = self.prices[model].rates(turn.tokens)
        self.total += warm * rates.cache_read / MILLION
        self.total += (turn.tokens - warm) * (rates.cache_write_5m or rates.input) / MILLION
        self.total += turn.output * rates.output / MILLION
        self.cache[model] = (turn.tokens + turn.output, turn.at + TTL)


def session(dice: random.Random, hard_share: float, sight: float) -> Iterator[Turn]:
    turns = dice.randint(20, 60)
    tokens, end, at = 20_000.0, dice.uniform(60_000, 150_000), 1_000.0
    growth, left, seen_hard = (end - tokens) / turns, 0, False
    for _ in range(turns):
        user = left == 0
        if user:
            left = 1 + int(dice.expovariate(1 / 8))
            hard = dice.random() < hard_share
            seen_hard = hard if dice.random() < sight else not hard
            at += dice.lognormvariate(4.1, 1.3)
        left -= 1
        tokens += dice.expovariate(1 / growth)
        at += dice.lognormvariate(2.5, 0.6)
        output = min(4000, int(dice.lognormvariate(5.5, 1.0)))
        yield Turn(int(tokens), output, at, user, seen_hard)


def saving(
    view: View, premium: str, cheap: str, kind: str, hard_share: float, sight: float, n: int
) -> float:
    """The share of the always-premium bill that the router saves over `n` sessions."""
    dice = random.Random(7)
    prices = {name: _price(view, name) for name in (premium, cheap)}
    routed = always = 0.0
    for number in range(n):
        bill, base = Bill(prices), Bill(prices)
        pin: Pin | None = None
        for turn in session(dice, hard_share, sight):
            base.add(premium, turn)
            model, pin = _route(view, (premium, cheap), kind, str(number), turn, pin)
            bill.add(model, turn)
        routed, always = routed + bill.total, always + base.total
    return 1 - routed / always


def _price(view: View, name: str) -> Price:
    facts = view.rules.catalogue.facts(name)
    assert facts is not None
    price = view.rules.prices.find(facts.provider, name)
    assert price is not None
    return price


def _route(
    view: View, pair: tuple[str, str], kind: str, name: str, turn: Turn, pin: Pin | None
) -> tuple[str, Pin]:
    text = (HARD if turn.seen_hard else EASY)[kind] if turn.user else ""
    features = Features(
        model=pair[0],
        user_text=text,
        user_chars=len(text),
        input_tokens=turn.tokens * 2,
        max_tokens=8000,
        tools=24,
        messages=3,
        last_is_tool_result=not turn.user,
        cache_marks=3,
    )
    route = Route(
        request_id="r",
        principal=Principal(key_id="k"),
        features=features,
        session=name,
        models=pair,
    )
    choice = decide(route, view, now=turn.at, pin=pin)
    pinned = next_pin(route, choice, turn.at)
    return pinned.model, replace(pinned, tokens=turn.tokens + turn.output)

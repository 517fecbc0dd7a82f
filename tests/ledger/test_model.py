"""The book against a model of it that is too simple to be wrong."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from libs.common.contracts.identity import Principal
from libs.common.contracts.spending import Budget, Mode, Offer, Reserve, Window
from libs.common.contracts.usage import Usage
from libs.common.errors import BudgetExceeded
from libs.common.settings.ledger import LedgerSettings
from services.ledger import names
from services.ledger.book import Book
from services.ledger.register import BudgetWord, stored
from services.ledger.store import Store
from services.ledger.windows import LETTERS, window_start
from tests.support.servers import Server

ANN = Principal(key_id="key_a", user="ann", team="core", run="s1")
BOB = Principal(key_id="key_b", user="bob", team="core")
SCOPES = [
    ("org", "default"),
    ("team", "core"),
    ("user", "ann"),
    ("key", "key_b"),
    ("run", "key_a/s1"),
]
WINDOWS = st.sampled_from(list(LETTERS))
MONEY = st.integers(1, 2000)


@dataclass
class Open:
    ask: Reserve
    amount: int


@dataclass
class Model:
    """Rows and reservations as plain lists; every sum is taken anew."""

    budgets: dict[tuple[str, str, str], Budget] = field(default_factory=dict)
    rows: dict[str, Usage] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)

    def spent(self, scope: tuple[str, str], window: Window, now: float) -> int:
        start = window_start(window, now)
        return sum(
            row.cost
            for row in self.rows.values()
            if scope in names.scopes(row.principal) and window_start(window, row.at) == start
        )

    def reserved(self, scope: tuple[str, str]) -> int:
        held = self.open.values()
        return sum(h.amount for h in held if scope in names.scopes(h.ask.principal))

    def fits(self, who: Principal, amount: int, now: float, modes: str = "bd") -> bool:
        for (scope, scope_id, window), budget in self.budgets.items():
            if (scope, scope_id) in names.scopes(who) and budget.mode[0] in modes:
                used = self.spent((scope, scope_id), window, now) + self.reserved((scope, scope_id))
                if used + amount > budget.limit:
                    return False
        return True

    def choice(self, ask: Reserve, now: float) -> int | None:
        """The offer that should be taken; None for a refusal (nothing is shortened here)."""
        who, first = ask.principal, ask.offers[0].estimate
        if self.fits(who, first, now):
            return 0
        if not self.fits(who, first, now, "b"):
            return None
        cheaper = [
            i
            for i, offer in enumerate(ask.offers)
            if offer.estimate < first and self.fits(who, offer.estimate, now)
        ]
        return cheaper[0] if cheaper else None


class Machine(RuleBasedStateMachine):
    url = ""

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.redis = Redis.from_url(self.url)
        self.now = 1_800_000_000.0
        self.store = Store(self.redis, self.url, 5)
        self.book = Book(self.store, LedgerSettings(), lambda: self.now)
        self.model, self.number, self.settled = Model(), 0, list[Usage]()
        self.run(self.redis.flushall())
        self.run(self.redis.set(names.tenant("default", "book"), 1))

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.run(self.store.close())
            self.run(self.redis.aclose())
            self.runner.close()

    def run(self, work: Any) -> Any:
        async def whole() -> Any:
            return await work

        return self.runner.run(whole())

    def define(self, budget: Budget, deleted: bool = False) -> None:
        self.number += 1
        keys, args = stored(BudgetWord(budget=budget, deleted=deleted), self.number)
        self.run(self.store.run("define", keys, args))

    @rule(
        scope=st.sampled_from(SCOPES),
        window=WINDOWS,
        limit=st.integers(1, 5000),
        mode=st.sampled_from(["block", "downgrade", "advise"]),
    )
    def set_budget(self, scope: Any, window: Window, limit: int, mode: Mode) -> None:
        budget = Budget(
            id=f"{scope}{window}",
            scope=scope[0],
            scope_id=scope[1],
            window=window,
            limit=limit,
            mode=mode,
        )
        self.define(budget)
        self.model.budgets[(*scope, window)] = budget

    @precondition(lambda self: self.model.budgets)
    @rule(data=st.data())
    def delete_budget(self, data: Any) -> None:
        place = data.draw(st.sampled_from(sorted(self.model.budgets)))
        self.define(self.model.budgets.pop(place), deleted=True)

    @rule(who=st.sampled_from([ANN, BOB]), amounts=st.lists(MONEY, min_size=1, max_size=3))
    def reserve(self, who: Principal, amounts: list[int]) -> None:
        self.number += 1
        offers = tuple(
            Offer(deployment="d", model="m", estimate=a, input_cost=a // 2) for a in amounts
        )
        ask = Reserve(request_id=f"r{self.number}", attempt=1, principal=who, offers=offers)
        expected = self.model.choice(ask, self.now)
        try:
            reservation = self.run(self.book.reserve(ask))
        except BudgetExceeded:
            assert expected is None
            return
        assert reservation.offer == expected
        assert reservation.reserved == amounts[reservation.offer]
        self.model.open[reservation.id] = Open(ask, reservation.reserved)

    @precondition(lambda self: self.model.open)
    @rule(data=st.data(), cost=st.integers(0, 3000), late=st.integers(0, 7200))
    def settle(self, data: Any, cost: int, late: int) -> None:
        id = data.draw(st.sampled_from(sorted(self.model.open)))
        ask = self.model.open.pop(id).ask
        self.take(
            Usage(
                request_id=ask.request_id,
                attempt=1,
                at=self.now - late,
                principal=ask.principal,
                cost=cost,
            )
        )

    @precondition(lambda self: self.model.open)
    @rule(data=st.data())
    def expire(self, data: Any) -> None:
        id = data.draw(st.sampled_from(sorted(self.model.open)))
        ask = self.model.open.pop(id).ask
        cost = ask.offers[0].input_cost
        self.take(
            Usage(
                request_id=ask.request_id,
                attempt=1,
                at=self.now,
                principal=ask.principal,
                cost=cost,
                outcome="reconciled",
            )
        )

    @precondition(lambda self: self.settled)
    @rule(data=st.data(), cost=st.integers(0, 3000))
    def tell_again(self, data: Any, cost: int) -> None:
        """Repeats change nothing; the provider's figures replace a guess, whenever they come."""
        row = data.draw(st.sampled_from(self.settled))
        self.run(self.book.settle(row))
        if self.model.rows[row.id].outcome == "reconciled":
            self.take(
                Usage(
                    request_id=row.request_id,
                    attempt=1,
                    at=self.now,
                    principal=row.principal,
                    cost=cost,
                )
            )

    def take(self, row: Usage) -> None:
        self.run(self.book.settle(row))
        self.model.rows[row.id] = row
        self.settled.append(row)

    @rule(seconds=st.sampled_from([1, 1800, 3600, 86400, 7 * 86400, 32 * 86400]))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def the_sums_agree(self) -> None:
        for scope in SCOPES:
            figures = self.run(self.redis.hgetall(names.tenant("default", "at", *scope)))
            assert int(figures.get(b"r", 0)) == self.model.reserved(scope)
            for window, letter in LETTERS.items():
                field = f"{letter}{window_start(window, self.now)}".encode()
                assert int(figures.get(field, 0)) == self.model.spent(scope, window, self.now)


def test_the_book_does_what_its_model_does(redis: Server) -> None:
    machine = type("Machine", (Machine,), {"url": redis.url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

"""One batch of events into ClickHouse, so that a redelivered event changes nothing: rows replace
themselves by event id, and sums are computed from the rows (`rollups.py`)."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

from libs.common.contracts.exchange import Exchange
from libs.common.contracts.routing import Decision, Feedback
from libs.common.contracts.spending import Alert, Audit
from libs.common.contracts.usage import Usage
from services.analytics import guesses
from services.analytics.rows import (
    Columns,
    alert_columns,
    decision_columns,
    exchange_columns,
    feedback_columns,
    sort_out,
    usage_columns,
)
from services.analytics.store import BadRow, Store

E = TypeVar("E")
Mark = Callable[[Iterable[tuple[str, float]]], Awaitable[None]]
Append = Callable[[Sequence[Audit]], Awaitable[None]]
ColumnsOf = Callable[[Sequence[Any]], Columns]
Bury = Callable[[object, str], Awaitable[None]]


class Writer:
    """`mark` is told which rows' sums have changed, `append` takes what belongs to the audit
    trail, `bury` an event that the store will never accept, with the reason."""

    def __init__(self, store: Store, mark: Mark, append: Append, bury: Bury) -> None:
        self._store, self._mark, self._append, self._bury = store, mark, append, bury

    async def take(self, events: Sequence[object]) -> None:
        """Write a batch of mixed kinds. Raises Unavailable if the store is away."""
        await self._used(_of(events, Usage))
        await self._plain("decisions", _of(events, Decision), decision_columns)
        await self._plain("feedback", _of(events, Feedback), feedback_columns)
        await self._plain("alerts", _of(events, Alert), alert_columns)
        await self._plain("exchanges", _of(events, Exchange), exchange_columns)
        await self._append(_of(events, Audit))

    async def _used(self, used: list[Usage]) -> None:
        used, columns = await self._fit(used, usage_columns)
        await guesses.remember(self._store, used)
        await self._insert("usage", used, columns, usage_columns)
        corrected = await guesses.correct(self._store, used)
        await self._mark(chain(((e.principal.org, e.at) for e in used), corrected))

    async def _plain(self, table: str, events: list[E], columns_of: ColumnsOf) -> None:
        events, columns = await self._fit(events, columns_of)
        await self._insert(table, events, columns, columns_of)

    async def _fit(self, events: list[E], columns_of: ColumnsOf) -> tuple[list[E], Columns]:
        """The events with their columns, but for those that no column can hold."""
        try:
            return events, columns_of(events)
        except ValueError:
            fitting, others = sort_out(events, columns_of)
        for event, why in others:
            await self._bury(event, why)
        return fitting, columns_of(fitting)

    async def _insert(
        self, table: str, events: list[E], columns: Columns, columns_of: ColumnsOf
    ) -> None:
        """Insert them all; if a value among them is refused, halve until it stands alone."""
        if not events:
            return
        try:
            await self._store.insert(table, columns)
        except BadRow as error:
            if len(events) == 1:
                await self._bury(events[0], error.detail)
                return
            half = len(events) // 2
            for part in (events[:half], events[half:]):
                await self._insert(table, part, columns_of(part), columns_of)


def _of(events: Sequence[object], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]

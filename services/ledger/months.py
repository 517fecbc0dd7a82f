"""Months that have passed, as one sum per scope with a `total` budget.

Usage rows leave the journal after `journal.days`, a total never ends: what a month has cost is
written to the state stream once the month cannot change any more, and a rebuild counts from
there what it no longer finds in rows.
"""

from collections.abc import Mapping

from libs.common.contracts.usage import Usage
from services.ledger import names
from services.ledger.marks import OPEN, Claim
from services.ledger.register import MonthWord, Register
from services.ledger.store import Store
from services.ledger.windows import DAY, window_start

# After this much of the next month, a row of the last one is not expected any more.
SETTLES = 10 * DAY
Sums = dict[tuple[str, str, str, int], int]


async def close_month(register: Register, store: Store, now: float) -> int:
    """Write down the last month of every scope with a total, if it has not been; how many."""
    this = window_start("monthly", now)
    if now - this < SETTLES:
        return 0
    month, written = window_start("monthly", this - 1), 0
    for org, scope, scope_id in register.totals():
        word = MonthWord(org=org, scope=scope, scope_id=scope_id, start=month)
        key = names.tenant(org, "at", scope, scope_id)
        both = store.redis.pipeline()
        both.get(names.mark(org))
        both.hget(key, f"m{month}")
        mark, spent = await both.execute()
        if mark == OPEN.encode() and spent and not register.knows(word):
            await register.write(
                MonthWord(org=org, scope=scope, scope_id=scope_id, start=month, cost=int(spent))
            )
            written += 1
    return written


def add_row(sums: Sums, row: Usage, cost: int) -> None:
    """Count a replayed row into the months of its scopes."""
    month = window_start("monthly", row.at)
    for scope, scope_id in names.scopes(row.principal):
        place = (row.principal.org, scope, scope_id, month)
        sums[place] = sums.get(place, 0) + cost


async def restore_months(
    register: Register, claim: Claim, replayed: Mapping[tuple[str, str, str, int], int]
) -> None:
    """Add to each total what its closed months cost beyond the rows that were replayed."""
    for word in register.words(MonthWord):
        found = replayed.get((word.org, word.scope, word.scope_id, word.start), 0)
        key = names.tenant(word.org, "at", word.scope, word.scope_id)
        await claim.run("month", word.org, [key], word.start, word.cost, found)

"""A guess gives way to the figure, as it does in the ledger.

An attempt that nobody settled is booked as `reconciled`; if its own usage comes after all, the
guess's row is kept for the record, with its figures at nothing and the error `corrected`.
"""

from collections.abc import Sequence

from libs.common.contracts.usage import Usage
from services.analytics.rows import Row, ticks, transposed
from services.analytics.store import Store, pieces

NOTHING = ", ".join(
    f"0 AS {name}"
    for name in (
        "cost", "list_cost", "baseline_cost", "input", "cache_read", "cache_write_5m",
        "cache_write_1h", "output", "reasoning", "web_searches",
    )
)  # fmt: skip
CORRECT = f"""
INSERT INTO usage SELECT * REPLACE ({NOTHING}, 'corrected' AS error) FROM usage FINAL
WHERE outcome = 'reconciled' AND id IN {{ids:Array(String)}}
    AND request_id IN {{requests:Array(String)}}
"""
KNOWN = """
SELECT DISTINCT id FROM usage WHERE outcome != 'reconciled' AND id IN {ids:Array(String)}
    AND request_id IN {requests:Array(String)}
"""


async def remember(store: Store, used: Sequence[Usage]) -> None:
    """Note the guesses among these; before their rows, so that none is ever missed."""
    rows: list[Row] = [
        {"id": usage.id, "org": usage.principal.org, "at": ticks(usage.at)}
        for usage in used
        if usage.outcome == "reconciled"
    ]
    if rows:
        await store.insert("guesses", transposed(rows))


async def correct(store: Store, used: Sequence[Usage]) -> list[tuple[str, float]]:
    """Take back the guesses that these rows, or rows before, know better; where they were.

    Runs after the rows are in: of two replicas with one half each, the later one sees both."""
    if not used:
        return []
    guesses = await store.read_own_writes("SELECT id, org, at FROM guesses FINAL")
    if not guesses:
        return []
    ids = {usage.id for usage in used}
    touched = [guess for guess in guesses if guess["id"] in ids]
    if not touched:
        return []
    known: set[str] = set()
    for names in pieces(sorted({guess["id"] for guess in touched})):
        requests = sorted({name.rpartition(".")[0] for name in names})
        rows = await store.read_own_writes(KNOWN, ids=names, requests=requests)
        if better := [row["id"] for row in rows]:
            await store.write(CORRECT, ids=better, requests=requests)
            known.update(better)
    return [(row["org"], row["at"].timestamp()) for row in touched if row["id"] in known]

"""One person's records: all of them page by page, or gone. For administrators.

The audit trail is append only and keeps its entries; it names keys and people, never what they
wrote. The journal forgets by its own age limit.
"""

from typing import Any

import msgspec

from libs.common.errors import InvalidRequest
from services.analytics.reports.asked import Asked, one_of
from services.analytics.reports.requests import cursor_of
from services.analytics.store import Store

# Where a person's rows are, and what orders a page of them.
EXPORTED = {
    "usage": "id",
    "decisions": "decision_id",
    "feedback": "decision_id",
    "exchanges": "request_id",
}
DELETED = ("usage", "usage_hourly", "usage_daily", "decisions", "feedback", "exchanges")


async def export(store: Store, asked: Asked) -> dict[str, Any]:
    where, parameters = _person(asked)
    table = one_of("table", asked.query.get("table", "usage"), tuple(EXPORTED))
    id = EXPORTED[table]
    if cursor := asked.cursor:
        where += f" AND (toUnixTimestamp64Micro(at), {id}) < ({{at:Int64}}, {{id:String}})"
        parameters |= {"at": cursor[0], "id": cursor[1]}
    rows = await store.query(
        f"""SELECT * FROM {table} FINAL WHERE {where}
        ORDER BY at DESC, {id} DESC LIMIT {{rows:UInt32}}""",
        **parameters,
        rows=asked.limit + 1,
    )
    page = rows[: asked.limit]
    more = len(rows) > asked.limit
    return {
        "table": table,
        "rows": [msgspec.to_builtins(row) for row in page],
        "next": cursor_of(page[-1]["at"], page[-1][id]) if more else "",
    }


async def delete(store: Store, asked: Asked) -> dict[str, Any]:
    """Rows and the sums made of them; nothing is left to recompute, since sums are per person."""
    where, parameters = _person(asked)
    counts = {}
    for table in DELETED:
        found = await store.query(
            f"SELECT count() AS n FROM {table} FINAL WHERE {where}", **parameters
        )
        counts[table] = found[0]["n"]
        await store.write(f"DELETE FROM {table} WHERE {where}", **parameters)
    return {"deleted": counts}


def _person(asked: Asked) -> tuple[str, dict[str, Any]]:
    asked.only_administrators("export and delete")
    user, key = asked.text("user"), asked.text("key")
    if bool(user) == bool(key):
        raise InvalidRequest("user: give either `user` or `key`, whose records are meant")
    column, value = ("user", user) if user else ("key_id", key)
    return (
        f"org = {{org:String}} AND {column} = {{person:String}}",
        {"org": asked.principal.org, "person": value},
    )

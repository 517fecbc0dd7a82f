"""Decisions, alerts and the audit trail, newest first."""

from typing import Any

import msgspec

from libs.common.money import usd
from services.analytics.audit import Entry, Head, Verdict, ended, walked
from services.analytics.reports.asked import Asked, one_of
from services.analytics.reports.requests import cursor_of, shown_decision
from services.analytics.reports.source import scope
from services.analytics.reports.sums import described
from services.analytics.rows import Row, ticks
from services.analytics.store import Store

PIECE = 10_000


async def decisions(store: Store, asked: Asked) -> dict[str, Any]:
    filters = {"request_id": "request_id", "model": "model", "reason": "reason"}
    rows = await _page(
        store, asked, "decisions", "decision_id", scope(asked.principal.admin), filters
    )
    return _shown(asked, rows, "decision_id", shown_decision)


async def alerts(store: Store, asked: Asked) -> dict[str, Any]:
    """An administrator's; a member's own budgets are shown by the ledger."""
    asked.only_administrators("alerts")
    filters = {"scope": "scope", "scope_id": "scope_id"}
    rows = await _page(store, asked, "alerts", "id", scope(True), filters)
    return _shown(asked, rows, "id", _shown_alert)


async def audit(store: Store, asked: Asked) -> dict[str, Any]:
    asked.only_administrators("audit")
    filters = {"action": "action", "actor": "actor", "target": "target"}
    rows = await _page(store, asked, "audit", "id", scope(True), filters)
    return _shown(asked, rows, "id", _shown_entry)


async def verified(store: Store, head: Head) -> dict[str, Any]:
    """Walks the whole trail, of every org: a chain has no parts."""
    sql = """SELECT * FROM audit FINAL WHERE seq > {last:UInt64}
        ORDER BY seq, id LIMIT {rows:UInt32}"""
    verdict = Verdict()
    while not verdict.broken:
        rows = await store.query(sql, last=verdict.last, rows=PIECE)
        if not rows:
            break
        entries = [
            msgspec.convert(row | {"at": ticks(row["at"].timestamp())}, Entry) for row in rows
        ]
        verdict = walked(verdict, entries)
    return msgspec.to_builtins(ended(verdict, head))  # type: ignore[no-any-return]


def _entry(row: Row) -> Entry:
    return msgspec.convert(row | {"at": ticks(row["at"].timestamp())}, Entry)


def wants_verdict(asked: Asked) -> bool:
    return one_of("verify", asked.query.get("verify", "false"), ("true", "false")) == "true"


async def _page(
    store: Store, asked: Asked, table: str, id: str, where: str, filters: dict[str, str]
) -> list[Row]:
    parts = [where, "at >= {since:DateTime64(6, 'UTC')}", "at < {until:DateTime64(6, 'UTC')}"]
    parameters: dict[str, Any] = {
        "org": asked.principal.org,
        "key": asked.principal.key_id,
        "since": asked.period.since,
        "until": asked.period.until,
        "rows": asked.limit + 1,
    }
    for name, column in filters.items():
        if value := asked.text(name):
            parts.append(f"{column} = {{by_{name}:String}}")
            parameters[f"by_{name}"] = value
    if cursor := asked.cursor:
        parts.append(
            f"(toUnixTimestamp64Micro(at), {id}) < ({{last_at:Int64}}, {{last_id:String}})"
        )
        parameters |= {"last_at": cursor[0], "last_id": cursor[1]}
    sql = f"""SELECT * FROM {table} FINAL WHERE {" AND ".join(parts)}
        ORDER BY at DESC, {id} DESC LIMIT {{rows:UInt32}}"""
    return await store.query(sql, **parameters)


def _shown(asked: Asked, rows: list[Row], id: str, show: Any) -> dict[str, Any]:
    page = rows[: asked.limit]
    more = len(rows) > asked.limit
    return {
        **described(asked),
        "rows": [show(row) for row in page],
        "next": cursor_of(page[-1]["at"], page[-1][id]) if more else "",
    }


def _shown_alert(row: Row) -> Row:
    return row | {"limit": usd(row["limit"]), "spent": usd(row["spent"])}


def _shown_entry(row: Row) -> Row:
    return row | {"detail": msgspec.json.decode(row["detail"])}

"""The log of attempts, page by page, and the complete trail of one request."""

from datetime import datetime
from typing import Any

import msgspec

from libs.common.contracts.reports import request_row
from libs.common.contracts.usage import Tokens, Usage
from libs.common.errors import Forbidden, NotFound
from libs.common.money import usd
from services.analytics.reports.asked import Asked, whole
from services.analytics.reports.source import scope
from services.analytics.reports.sums import described
from services.analytics.rows import PLAIN_REASON, Row
from services.analytics.store import Store

# Filters by name, and the column each compares with.
FILTERS = {
    "model": "model",
    "asked": "asked",
    "provider": "provider",
    "key": "key_id",
    "user": "user",
    "team": "team",
    "run": "run",
    "agent": "agent",
    "outcome": "outcome",
    "reason": PLAIN_REASON,
    "label": "label",
    "error": "error",
    "request_id": "request_id",
}
WHO = ("key_id", "key_name", "org", "team", "user", "run", "agent", "parent_agent", "admin")


async def requests(store: Store, asked: Asked) -> dict[str, Any]:
    """Newest first. `next` is the cursor of the page after, empty on the last one."""
    limit = asked.limit
    where, parameters = _filtered(asked)
    sql = f"""SELECT * FROM usage AS u FINAL WHERE {where}
        ORDER BY at DESC, id DESC LIMIT {{rows:UInt32}}"""
    found = await store.query(sql, **parameters, rows=limit + 1)
    page = found[:limit]
    more = len(found) > limit
    return {
        **described(asked),
        "rows": [msgspec.to_builtins(request_row(usage_of(row))) for row in page],
        "next": cursor_of(page[-1]["at"], page[-1]["id"]) if more else "",
    }


async def request(store: Store, asked: Asked) -> dict[str, Any]:
    """Decision, attempts, what was masked, what was reserved and what was booked."""
    wanted = asked.text("id", needed=True)
    scoped = scope(asked.principal.admin)
    who = {"org": asked.principal.org, "key": asked.principal.key_id, "id": wanted}
    found = await store.query(
        f"SELECT * FROM usage FINAL WHERE {scoped} AND request_id = {{id:String}} ORDER BY attempt",
        **who,
    )
    decisions = await store.query(
        f"SELECT * FROM decisions FINAL WHERE {scoped} AND request_id = {{id:String}} ORDER BY at",
        **who,
    )
    if not found and not decisions:
        raise NotFound("id: no such request among those this key may see")
    audited = await store.query(
        """SELECT at, actor, action, target, detail FROM audit FINAL
        WHERE org = {org:String} AND target = {id:String} ORDER BY seq""",
        **who,
    )
    bodies = await _bodies(store, who) if asked.principal.admin else None
    return {
        "request_id": wanted,
        "currency": "USD",
        "total_cost": usd(sum(row["cost"] for row in found)),
        "pii": found[-1]["pii"] if found else {},
        "decisions": [shown_decision(row) for row in decisions],
        "attempts": [_attempt(row) for row in found],
        "audit": [row | {"detail": msgspec.json.decode(row["detail"])} for row in audited],
        "bodies": bodies,
    }


async def _bodies(store: Store, who: dict[str, str]) -> Row | None:
    """What was said, masked, where it was kept; for administrators."""
    found = await store.query(
        """SELECT request, answer, cut FROM exchanges FINAL
        WHERE org = {org:String} AND request_id = {id:String}""",
        **who,
    )
    return found[0] if found else None


def usage_of(row: Row) -> Usage:
    """The event that a row was made of."""
    fields = {name: row[name] for name in Usage.__struct_fields__ if name in row}
    return msgspec.convert(
        fields
        | {
            "at": row["at"].timestamp(),
            "principal": {name: row[name] for name in WHO},
            "tokens": {name: row[name] for name in Tokens.__struct_fields__},
        },
        Usage,
    )


def shown_decision(row: Row) -> Row:
    shown = dict(row)
    for name in ("candidates", "rejected", "features"):
        shown[name] = msgspec.json.decode(row[name])
    return shown | {"saved": usd(row["saved"]), "switch_cost": usd(row["switch_cost"])}


def cursor_of(at: datetime, id: str) -> str:
    return f"{round(at.timestamp() * 1_000_000)}.{id}"


def _attempt(row: Row) -> Row:
    """Everything that is stored about an attempt, money as text."""
    usage = usage_of(row)
    shown: Row = msgspec.to_builtins(usage) | msgspec.to_builtins(request_row(usage))
    money = {name: usd(row[name]) for name in ("reserved", "cost", "list_cost", "baseline_cost")}
    released = max(0, usage.reserved - usage.cost)
    return shown | money | {"settled": usd(usage.cost), "released": usd(released)}


def _filtered(asked: Asked) -> tuple[str, dict[str, Any]]:
    principal, period = asked.principal, asked.period
    if not principal.admin and asked.text("key") not in ("", principal.key_id):
        raise Forbidden("key: this key may only see its own requests")
    parts = [
        scope(principal.admin),
        "at >= {since:DateTime64(6, 'UTC')}",
        "at < {until:DateTime64(6, 'UTC')}",
    ]
    parameters: dict[str, Any] = {
        "org": principal.org,
        "key": principal.key_id,
        "since": period.since,
        "until": period.until,
    }
    for name, column in FILTERS.items():
        if value := asked.text(name):
            parts.append(f"{column} = {{by_{name}:String}}")
            parameters[f"by_{name}"] = value
    if status := asked.text("status"):
        parts.append("status = {by_status:Int64}")
        parameters["by_status"] = whole("status", status, 100, 599)
    if cursor := asked.cursor:
        parts.append("(toUnixTimestamp64Micro(at), id) < ({last_at:Int64}, {last_id:String})")
        parameters |= {"last_at": cursor[0], "last_id": cursor[1]}
    return " AND ".join(parts), parameters

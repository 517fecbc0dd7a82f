"""The Grafana dashboards, as code: `python deploy/grafana/make_dashboards.py` writes dashboards/.

Panels are rows of (title, kind, unit, SQL); the grid is laid out here, so nothing overlaps. A
test executes every statement on ClickHouse and compares the files with this program.
"""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "dashboards"
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
Panel = dict[str, Any]

HOURS = "usage_hourly AS u FINAL WHERE $__timeFilter(hour)"
ROWS = "usage AS u FINAL WHERE $__timeFilter(at)"
ANSWERED = f"{ROWS} AND outcome = 'ok'"
USD = 1_000_000

# title, kind, unit, SQL (or PromQL). Kinds: see SHAPES.
OVERVIEW = [
    ("Spend", "stat", "currencyUSD", f"SELECT sum(u.cost) / {USD} AS spend FROM {HOURS}"),
    (
        "Saved against the baseline",
        "stat",
        "percent",
        f"""SELECT if(sum(u.baseline_cost) = 0, 0, 100 * sum(u.saved) / sum(u.baseline_cost))
        AS saved FROM {HOURS}""",
    ),
    ("Saved", "stat", "currencyUSD", f"SELECT sum(u.saved) / {USD} AS saved FROM {HOURS}"),
    (
        "Projected for 30 days, at this pace (not measured)",
        "stat",
        "currencyUSD",
        f"""SELECT sum(u.cost) / {USD} * 30 * 86400
        / greatest(1, dateDiff('second', $__fromTime, $__toTime)) AS projected FROM {HOURS}""",
    ),
    (
        "Error rate",
        "stat",
        "percent",
        f"""SELECT if(sum(u.attempts) = 0, 0, 100 * sum(u.errors) / sum(u.attempts)) AS errors
        FROM {HOURS}""",
    ),
    ("Requests", "stat", "short", f"SELECT sum(u.requests) AS requests FROM {HOURS}"),
]
COST = [
    (
        "Spend by model",
        "bars",
        "currencyUSD",
        f"""SELECT $__timeInterval(hour) AS time, u.model AS model, sum(u.cost) / {USD} AS spend
        FROM {HOURS} GROUP BY time, model ORDER BY time""",
    ),
    (
        "Paid, and what the baseline would have cost",
        "timeseries",
        "currencyUSD",
        f"""SELECT $__timeInterval(hour) AS time, sum(u.cost) / {USD} AS paid,
        sum(u.baseline_cost) / {USD} AS baseline FROM {HOURS} GROUP BY time ORDER BY time""",
    ),
    (
        "Saved so far",
        "timeseries",
        "currencyUSD",
        f"""SELECT time, sum(saved) OVER (ORDER BY time) AS saved_so_far FROM (
        SELECT $__timeInterval(hour) AS time, sum(u.saved) / {USD} AS saved FROM {HOURS}
        GROUP BY time) ORDER BY time""",
    ),
    (
        "Dearest keys",
        "table",
        "currencyUSD",
        f"""SELECT if(any(u.key_name) = '', u.key_id, any(u.key_name)) AS key,
        sum(u.cost) / {USD} AS spend, sum(u.saved) / {USD} AS saved FROM {HOURS}
        GROUP BY u.key_id ORDER BY spend DESC LIMIT 20""",
    ),
    (
        "By team, user and run",
        "table",
        "currencyUSD",
        f"""SELECT u.team AS team, u.user AS user, u.run AS run, sum(u.cost) / {USD} AS spend
        FROM {HOURS} GROUP BY team, user, run ORDER BY spend DESC LIMIT 50""",
    ),
    (
        "By subagent",
        "table",
        "currencyUSD",
        f"""SELECT u.run AS run, u.agent AS agent, sum(u.cost) / {USD} AS spend FROM {HOURS}
        AND u.agent != '' GROUP BY run, agent ORDER BY spend DESC LIMIT 50""",
    ),
    (
        "Dearest requests",
        "table",
        "currencyUSD",
        f"""SELECT request_id, min(u.at) AS started, any(u.asked) AS asked,
        argMax(u.model, u.attempt) AS served, sum(u.cost) / {USD} AS spend FROM {ROWS}
        GROUP BY request_id ORDER BY spend DESC LIMIT 20""",
    ),
]
BUDGETS = [
    (
        "Budgets that passed a threshold: used, and hours until they are spent",
        "table",
        "percent",
        f"""SELECT a.scope AS scope, a.scope_id AS name, a.window AS window,
        argMax(a.limit, a.at) / {USD} AS limit_usd, argMax(a.spent, a.at) / {USD} AS spent_usd,
        100 * argMax(a.spent, a.at) / argMax(a.limit, a.at) AS used,
        if(used >= 100 OR max(a.at) <= max(a.window_start), 0, (100 - used) / (used
        / (dateDiff('second', max(a.window_start), max(a.at)) / 3600))) AS hours_left
        FROM alerts AS a FINAL WHERE $__timeFilter(at) GROUP BY scope, name, window
        ORDER BY used DESC""",
    ),
    (
        "Thresholds passed",
        "bars",
        "short",
        """SELECT $__timeInterval(at) AS time, toString(threshold) AS percent, count() AS alerts
        FROM alerts FINAL WHERE $__timeFilter(at) GROUP BY time, percent ORDER BY time""",
    ),
    (
        "Refused for want of budget",
        "bars",
        "short",
        f"""SELECT $__timeInterval(at) AS time, count() AS refused FROM {ROWS}
        AND outcome = 'refused' AND error = 'budget_exceeded' GROUP BY time ORDER BY time""",
    ),
]
LATENCY = [
    (
        "Time to the first token",
        "timeseries",
        "s",
        f"""SELECT $__timeInterval(at) AS time, quantile(0.5)(first_token) AS p50,
        quantile(0.95)(first_token) AS p95, quantile(0.99)(first_token) AS p99
        FROM {ANSWERED} AND first_token > 0 GROUP BY time ORDER BY time""",
    ),
    (
        "Duration p95 by model",
        "timeseries",
        "s",
        f"""SELECT $__timeInterval(at) AS time, u.model AS model, quantile(0.95)(seconds) AS p95
        FROM {ANSWERED} GROUP BY time, model ORDER BY time""",
    ),
    (
        "The gateway's own share p95: router, pii, ledger",
        "timeseries",
        "s",
        f"""SELECT $__timeInterval(at) AS time,
        quantile(0.95)(router_seconds + pii_seconds + ledger_seconds) AS together,
        quantile(0.95)(router_seconds) AS router, quantile(0.95)(pii_seconds) AS pii,
        quantile(0.95)(ledger_seconds) AS ledger FROM {ANSWERED} GROUP BY time ORDER BY time""",
    ),
    (
        "Output tokens per second",
        "timeseries",
        "short",
        f"""SELECT $__timeInterval(at) AS time, u.model AS model,
        quantile(0.5)(output / (seconds - first_token)) AS speed FROM {ANSWERED} AND stream
        AND seconds > first_token GROUP BY time, model ORDER BY time""",
    ),
]
TOKENS = [
    (
        "Share of the input read from the provider's cache",
        "timeseries",
        "percent",
        f"""SELECT $__timeInterval(hour) AS time, if(sum(u.input + u.cache_read
        + u.cache_write_5m + u.cache_write_1h) = 0, 0, 100 * sum(u.cache_read) / sum(u.input
        + u.cache_read + u.cache_write_5m + u.cache_write_1h)) AS cached
        FROM {HOURS} GROUP BY time ORDER BY time""",
    ),
    (
        "Answers from our own cache",
        "bars",
        "short",
        f"""SELECT $__timeInterval(hour) AS time, sum(u.cached) AS hits FROM {HOURS}
        GROUP BY time ORDER BY time""",
    ),
    (
        "Tokens by kind",
        "bars",
        "short",
        f"""SELECT $__timeInterval(hour) AS time, sum(u.input) AS input,
        sum(u.cache_read) AS cache_read, sum(u.cache_write_5m) AS cache_write_5m,
        sum(u.cache_write_1h) AS cache_write_1h, sum(u.output) AS output FROM {HOURS}
        GROUP BY time ORDER BY time""",
    ),
]
PII = [
    (
        "Masked values by type",
        "pie",
        "short",
        """SELECT kind, sum(found) AS masked FROM usage AS u FINAL
        ARRAY JOIN mapKeys(u.pii) AS kind, mapValues(u.pii) AS found
        WHERE $__timeFilter(at) AND attempt <= 1 GROUP BY kind ORDER BY masked DESC""",
    ),
    (
        "Requests with personal data",
        "timeseries",
        "percent",
        f"""SELECT $__timeInterval(at) AS time,
        100 * countIf(length(mapKeys(u.pii)) > 0) / count() AS share FROM {ROWS}
        AND attempt <= 1 GROUP BY time ORDER BY time""",
    ),
]
ROUTER = [
    (
        "Asked, why, served, saved",
        "table",
        "currencyUSD",
        f"""SELECT u.asked AS asked, u.reason AS why, u.model AS served,
        sum(u.requests) AS requests, sum(u.saved) / {USD} AS saved FROM {HOURS}
        GROUP BY asked, why, served ORDER BY requests DESC LIMIT 50""",
    ),
    (
        "How sure the router was",
        "columns",
        "short",
        """SELECT toString(floor(confidence * 10) / 10) AS confidence, count() AS decisions
        FROM decisions FINAL WHERE $__timeFilter(at) GROUP BY confidence ORDER BY confidence""",
    ),
    (
        "Kinds of task",
        "pie",
        "short",
        """SELECT if(label = '', 'unlabelled', label) AS task, count() AS decisions
        FROM decisions FINAL WHERE $__timeFilter(at) GROUP BY task ORDER BY decisions DESC""",
    ),
    (
        "Errors by code",
        "table",
        "short",
        f"""SELECT status, error, provider, count() AS attempts FROM {ROWS}
        AND outcome IN ('error', 'refused') GROUP BY status, error, provider
        ORDER BY attempts DESC""",
    ),
]
TRUST = [
    ("Unpriced attempts", "stat", "short", f"SELECT sum(u.unpriced) AS unpriced FROM {HOURS}"),
    (
        "Booked by guess, not corrected since",
        "stat",
        "short",
        f"""SELECT countIf(outcome = 'reconciled' AND error != 'corrected') AS guesses
        FROM {ROWS}""",
    ),
    (
        "Price tables in use",
        "table",
        "short",
        f"""SELECT price_version, min(u.at) AS since, count() AS attempts FROM {ROWS}
        GROUP BY price_version ORDER BY since DESC""",
    ),
]
BUS = [
    (
        "Events not yet in ClickHouse",
        "timeseries",
        "short",
        "max(modelmuxer_analytics_lag_events)",
    ),
    (
        "Answers by status",
        "timeseries",
        "reqps",
        "sum by (status) (rate(modelmuxer_requests_total[$__rate_interval]))",
    ),
    (
        "Waiting for services p95",
        "timeseries",
        "s",
        "histogram_quantile(0.95, sum by (le, service) "
        "(rate(modelmuxer_hop_seconds_bucket[$__rate_interval])))",
    ),
    ("In hand", "timeseries", "short", "sum by (job) (modelmuxer_in_flight)"),
    ("Spooled to disk", "timeseries", "bytes", "sum(modelmuxer_outbox_spooled_bytes)"),
    (
        "Reservations by result",
        "timeseries",
        "reqps",
        "sum by (result) (rate(modelmuxer_ledger_reservations_total[$__rate_interval]))",
    ),
]
DASHBOARDS = {
    "money": ("ModelMuxer: money", {"Overview": OVERVIEW, "Cost": COST, "Budgets": BUDGETS}),
    "service": (
        "ModelMuxer: service",
        {"Latency": LATENCY, "Cache and tokens": TOKENS, "Personal data": PII, "Router": ROUTER},
    ),
    "trust": ("ModelMuxer: trust", {"Numbers": TRUST, "Services": BUS}),
}
# Grafana's panel type, width and height of each kind, on a grid 24 wide.
SHAPES = {
    "stat": ("stat", 4, 4),
    "timeseries": ("timeseries", 12, 8),
    "bars": ("timeseries", 12, 8),
    "columns": ("barchart", 12, 8),
    "table": ("table", 12, 9),
    "pie": ("piechart", 12, 8),
}


def dashboard(uid: str) -> dict[str, Any]:
    title, rows = DASHBOARDS[uid]
    panels: list[Panel] = []
    top = 0
    for name, entries in rows.items():
        panels.append(_row(name, len(panels) + 1, top))
        top = _lay(panels, entries, top + 1)
    return {
        "uid": f"modelmuxer-{uid}",
        "title": title,
        "tags": ["modelmuxer"],
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 41,
        "time": {"from": "now-7d", "to": "now"},
        "timezone": "",
        "version": 1,
        "panels": panels,
    }


def _lay(panels: list[Panel], entries: list[tuple[str, str, str, str]], top: int) -> int:
    """Place panels left to right; returns where the next row begins."""
    left, height = 0, 0
    for entry in entries:
        _, wide, high = SHAPES[entry[1]]
        if left + wide > 24:
            left, top, height = 0, top + height, 0
        place = {"x": left, "y": top, "w": wide, "h": high}
        panels.append(_panel(len(panels) + 1, entry, place))
        left, height = left + wide, max(height, high)
    return top + height


def _row(title: str, number: int, top: int) -> Panel:
    place = {"x": 0, "y": top, "w": 24, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place}


def _panel(number: int, entry: tuple[str, str, str, str], place: dict[str, int]) -> Panel:
    title, kind, unit, query = entry
    sql = query.lstrip().startswith("SELECT")
    return {
        "id": number,
        "type": SHAPES[kind][0],
        "title": title,
        "datasource": CLICKHOUSE if sql else PROMETHEUS,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "custom": _drawn(kind)}, "overrides": []},
        "options": _options(kind),
        "targets": [_sql(query, kind) if sql else _promql(query)],
    }


def _sql(query: str, kind: str) -> dict[str, Any]:
    series = kind in ("timeseries", "bars") and " AS time" in query
    return {
        "refId": "A",
        "datasource": CLICKHOUSE,
        "editorType": "sql",
        "queryType": "timeseries" if series else "table",
        "format": 0 if series else 1,
        "rawSql": " ".join(query.split()),
    }


def _promql(query: str) -> dict[str, Any]:
    return {"refId": "A", "datasource": PROMETHEUS, "expr": query, "range": True}


def _drawn(kind: str) -> dict[str, Any]:
    if kind == "bars":
        return {"drawStyle": "bars", "fillOpacity": 80, "stacking": {"mode": "normal"}}
    return {"drawStyle": "line", "fillOpacity": 10} if kind == "timeseries" else {}


def _options(kind: str) -> dict[str, Any]:
    if kind == "stat":
        return {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
    if kind == "pie":
        return {"reduceOptions": {"values": True}, "legend": {"displayMode": "table"}}
    return {}


def text(uid: str) -> str:
    return json.dumps(dashboard(uid), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for uid in DASHBOARDS:
        (FOLDER / f"{uid}.json").write_text(text(uid))

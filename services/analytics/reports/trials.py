"""A scorer on trial: what came of the requests it served, and what it would have done with the
others. One row per trial and arm; `current` is the scorer that serves without a trial."""

from typing import Any

from libs.common.money import usd
from services.analytics.reports.asked import Asked
from services.analytics.reports.source import scope
from services.analytics.reports.sums import described, percent
from services.analytics.rows import Row
from services.analytics.store import Store

SPAN = "at >= {since:DateTime64(6, 'UTC')} AND at < {until:DateTime64(6, 'UTC')}"
OUTCOMES = """countIf(outcome = 'error') AS errors,
    countIf(stop_reason = 'refusal') AS refusals,
    countIf(stop_reason = 'max_tokens') AS cut_off,
    sum(cost) AS paid, sum(baseline_cost) AS baseline,
    sumIf(baseline_cost - cost, baseline_model != '') AS saved,
    quantileIf(0.5)(seconds, outcome = 'ok') AS median"""


async def trials(store: Store, asked: Asked) -> dict[str, Any]:
    """`would_save` is what the other scorer expected to save (or lose) where the two differ."""
    seen = scope(asked.principal.admin)
    decided = f"""SELECT decision_id, key_id, model, extra['shadow_model'] AS other,
            toInt64OrZero(extra['shadow_saves']) AS would_save,
            extra['trial_scorer'] AS scorer,
            if(extra['trial'] = 'served', 'trial', 'current') AS arm
        FROM decisions FINAL WHERE {seen} AND {SPAN} AND extra['trial'] != ''"""
    parameters = {
        "org": asked.principal.org,
        "key": asked.principal.key_id,
        "since": asked.period.since,
        "until": asked.period.until,
    }
    rows = await store.query(_sql(decided, seen), **parameters)
    return {**described(asked), "currency": "USD", "rows": [_shown(row) for row in rows]}


def _sql(decided: str, seen: str) -> str:
    """Decisions, the attempts they led to and what was said of them, each summed on its own: a
    decision with two attempts still counts once."""
    return f"""WITH d AS ({decided}),
        choices AS (SELECT scorer, arm, count() AS decisions, uniqExact(key_id) AS keys,
            countIf(model = other) AS agreed, sum(would_save) AS saving
            FROM d GROUP BY scorer, arm),
        outcomes AS (SELECT d.scorer AS scorer, d.arm AS arm, {OUTCOMES}
            FROM (SELECT * FROM usage FINAL WHERE {seen} AND {SPAN}) AS u
            INNER JOIN d ON u.decision_id = d.decision_id GROUP BY scorer, arm),
        words AS (SELECT d.scorer AS scorer, d.arm AS arm, count() AS said, avg(score) AS mean
            FROM (SELECT * FROM feedback FINAL WHERE {seen}) AS f
            INNER JOIN d ON f.decision_id = d.decision_id GROUP BY scorer, arm)
        SELECT choices.scorer AS scorer, choices.arm AS arm, decisions, keys, agreed, saving,
            errors, refusals, cut_off, paid, baseline, saved, median, said, mean
        FROM choices
        LEFT JOIN outcomes ON choices.scorer = outcomes.scorer AND choices.arm = outcomes.arm
        LEFT JOIN words ON choices.scorer = words.scorer AND choices.arm = words.arm
        ORDER BY scorer, arm"""


def _shown(row: Row) -> dict[str, Any]:
    return {
        "scorer": row["scorer"],
        "arm": row["arm"],
        "keys": row["keys"],
        "decisions": row["decisions"],
        "agreed_percent": percent(row["agreed"], row["decisions"]),
        "would_save": usd(row["saving"]),
        "cost": usd(row["paid"]),
        "baseline_cost": usd(row["baseline"]),
        "saved": usd(row["saved"]),
        "saved_percent": percent(row["saved"], row["baseline"]),
        "errors": row["errors"],
        "refusals": row["refusals"],
        "cut_off": row["cut_off"],
        "seconds_p50": None if row["median"] != row["median"] else round(row["median"], 4),
        "feedback": row["said"],
        "feedback_score": round(row["mean"], 4) if row["said"] else None,
    }

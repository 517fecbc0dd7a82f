"""The schema: numbered steps in `schema/`, forward only, one statement a file, each recorded.

Repeating a step does no harm (IF NOT EXISTS), so a migration that was cut short is run again.
A service only checks; the embedded engine, which nobody else may open, migrates by itself.
"""

import time
from pathlib import Path

from libs.common.errors import Unavailable
from libs.common.settings import Settings
from libs.common.settings.analytics import AnalyticsSettings
from libs.common.settings.audit import AuditSettings
from services.analytics.rows import Columns, ticks
from services.analytics.store import Store

SCHEMA = Path(__file__).parent / "schema"
STEPS = """
CREATE TABLE IF NOT EXISTS schema_steps (number UInt32, name String, at DateTime64(6, 'UTC'))
ENGINE = ReplacingMergeTree ORDER BY number
"""
MADE = """
SELECT name, create_table_query AS statement FROM system.tables
WHERE database = currentDatabase()
"""


def steps() -> list[tuple[int, str, str]]:
    """Number, name and statement of each step, in order."""
    files = sorted(SCHEMA.glob("[0-9]*.sql"))
    return [(int(file.name.split("_")[0]), file.stem, file.read_text()) for file in files]


async def migrate(store: Store, settings: Settings) -> list[str]:
    """Run what has not run yet and bring the TTLs up to date; the names of the new steps."""
    await store.create_database()
    await store.write(STEPS)
    done = await version(store)
    fresh = [step for step in steps() if step[0] > done]
    for number, name, statement in fresh:
        await store.write(statement)
        row: Columns = {"number": [number], "name": [name], "at": [ticks(time.time())]}
        await store.insert("schema_steps", row)
    await _keep(store, settings.analytics, settings.audit)
    return [name for _, name, _ in fresh]


async def version(store: Store) -> int:
    rows = await store.read_own_writes("SELECT max(number) AS number FROM schema_steps")
    return int(rows[0]["number"])


class Gate:
    """Lets nobody write or read before the schema is as new as this program. It is asked at
    each use until it has passed once, since a server may be away while services start."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._open = False

    async def passed(self) -> None:
        """Raises Unavailable if the store is away or its schema is too old."""
        if self._open:
            return
        wanted, found = steps()[-1][0], await version(self._store)
        if found < wanted:
            raise Unavailable(
                f"the schema is at step {found}, this program needs {wanted}: "
                "run `modelmuxer analytics migrate`"
            )
        self._open = True


async def _keep(store: Store, settings: AnalyticsSettings, kept: AuditSettings) -> None:
    """How long each table keeps its rows; 0 days means for ever."""
    days = {
        ("usage", "at"): settings.usage_days,
        ("decisions", "at"): settings.decision_days,
        ("feedback", "at"): settings.decision_days,
        ("alerts", "at"): settings.usage_days,
        ("usage_hourly", "hour"): settings.rollup_days,
        ("usage_daily", "day"): settings.rollup_days,
        ("audit", "at"): settings.audit_days,
        ("exchanges", "at"): kept.bodies_days,
    }
    made = await store.read_own_writes(MADE)
    now = {row["name"]: row["statement"] for row in made}
    for (table, column), count in days.items():
        if count > 0 and f"TTL toDateTime({column}) + toIntervalDay({count})" not in now[table]:
            ttl = f"ALTER TABLE {table} MODIFY TTL toDateTime({column}) + INTERVAL {count:d} DAY"
            await store.write(f"{ttl} SETTINGS materialize_ttl_after_modify = 0")
        elif count <= 0 and " TTL " in now[table]:
            await store.write(f"ALTER TABLE {table} REMOVE TTL")

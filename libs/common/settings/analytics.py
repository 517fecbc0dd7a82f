"""Analytics: batches into ClickHouse, and how long rows are kept."""

from msgspec import Struct


class AnalyticsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows are inserted when `batch` messages of them wait, or after `linger` seconds. `*_days`
    say how long each kind of row is kept (0: for ever); a change takes effect with the next
    `modelmuxer analytics migrate`, which the embedded store runs at each start."""

    batch: int = 4_000
    linger: float = 1.0
    usage_days: int = 400
    decision_days: int = 90
    rollup_days: int = 1100
    audit_days: int = 1100
    database: str = "modelmuxer"

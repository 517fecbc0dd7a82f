"""Analytics: batches into ClickHouse, and how long rows are kept."""

from msgspec import Struct


class AnalyticsSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rows are inserted when `batch` of them wait, or after `linger` seconds."""

    batch: int = 10_000
    linger: float = 0.5
    usage_days: int = 400
    database: str = "modelmuxer"

"""The ledger: default limits, budgets at start, alert webhooks."""

from msgspec import Struct


class DefaultLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits of every key that has none of its own; zero: unlimited."""

    rpm: int = 0
    tpm: int = 0
    concurrency: int = 0


class WebhookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`secret` signs each call (HMAC-SHA256); hosts outside `allow` are never called."""

    url: str = ""
    secret: str = ""
    allow: list[str] = []


class LedgerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ttl` is how long a reservation may stay unsettled (seconds)."""

    limits: DefaultLimits = DefaultLimits()
    ttl: float = 900.0
    sweep_every: float = 5.0
    webhook: WebhookSettings = WebhookSettings()

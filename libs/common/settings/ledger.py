"""The ledger: default limits, how long things are kept, alert webhooks."""

from msgspec import Struct, field


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
    """`ttl` is how long a reservation may stay unsettled (seconds); `keep_settled` how long a
    booked attempt is remembered, so that a repeat of its event counts once. `users` and `teams`
    hold limits by name. `count_tokens` and `models` are calls per minute and key of the two
    buckets that no money hangs on."""

    limits: DefaultLimits = DefaultLimits()
    users: dict[str, DefaultLimits] = field(default_factory=dict)
    teams: dict[str, DefaultLimits] = field(default_factory=dict)
    count_tokens: int = 6000
    models: int = 600
    ttl: float = 900.0
    keep_settled: float = 259200.0
    sweep_every: float = 5.0
    store_timeout: float = 1.0
    webhook: WebhookSettings = WebhookSettings()

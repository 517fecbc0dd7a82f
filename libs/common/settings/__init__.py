"""Settings: defaults here, then `modelmuxer.toml`, then `.env`, then the environment.

Each section has a file of its own. Everything is frozen, strict (an unknown key is an error
that names its path) and loaded once, in `services/__main__.py`.
"""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from libs.common.settings.analytics import AnalyticsSettings
from libs.common.settings.audit import AuditSettings
from libs.common.settings.bus import BusSettings
from libs.common.settings.gateway import GatewaySettings
from libs.common.settings.journal import JournalSettings
from libs.common.settings.keys import KeySettings
from libs.common.settings.ledger import LedgerSettings
from libs.common.settings.pii import PiiSettings
from libs.common.settings.providers import ModelSettings, ProviderSettings
from libs.common.settings.routing import RoutingSettings
from libs.common.settings.telemetry import TelemetrySettings


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`nats_url`, `redis_url` and `clickhouse_url` are empty for the embedded stores that
    `modelmuxer up` starts. `api_keys` is the comma list of API_KEYS. `secret` derives the
    placeholders of masked values; empty: made once and kept in the data directory."""

    debug: bool = False
    data_dir: str = ".modelmuxer"
    nats_url: str = ""
    redis_url: str = ""
    clickhouse_url: str = ""
    api_keys: str = ""
    secret: str = ""
    probe_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
    probe_host: str = "127.0.0.1"
    log_format: str = "text"
    gateway: GatewaySettings = GatewaySettings()
    routing: RoutingSettings = RoutingSettings()
    pii: PiiSettings = PiiSettings()
    ledger: LedgerSettings = LedgerSettings()
    analytics: AnalyticsSettings = AnalyticsSettings()
    audit: AuditSettings = AuditSettings()
    nats: BusSettings = BusSettings()
    journal: JournalSettings = JournalSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    providers: dict[str, ProviderSettings] = field(default_factory=dict)
    models: dict[str, ModelSettings] = field(default_factory=dict)
    keys: dict[str, KeySettings] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        return Path(self.data_dir)

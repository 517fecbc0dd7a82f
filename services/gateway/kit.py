"""What one gateway process has in hand, wired once in main.py and passed down."""

import asyncio
from collections.abc import Callable

from msgspec import Struct, field

from libs.common.bus import Bus
from libs.common.catalogue import Catalogue
from libs.common.outbox import Outbox
from libs.common.prices import PriceTable
from libs.common.settings import Settings
from libs.common.settings.load import Loaded
from services.gateway.auth import Keys
from services.gateway.call import Call
from services.gateway.deployments import Deployments
from services.gateway.masking import SpanCache
from services.gateway.upstream import Upstreams
from services.gateway.vault import Vault


class Kit(Struct, kw_only=True):
    bus: Bus
    loaded: Loaded
    settings: Settings
    outbox: Outbox
    keys: Keys
    deployments: Deployments
    upstreams: Upstreams
    prices: PriceTable
    catalogue: Catalogue
    spans: SpanCache
    secret: bytes
    origins: "Origins"
    vault: Vault
    open_calls: dict[str, tuple[Call, Callable[[], object]]] = field(default_factory=dict)
    background: set[asyncio.Future[None]] = field(default_factory=set)
    keys_used: dict[str, float] = field(default_factory=dict)
    draining: bool = False


class Origins:
    """Which model made a thinking signature, as far as this process has seen; the router
    keeps the map that all replicas share."""

    def __init__(self, size: int = 20_000) -> None:
        self._models: dict[str, str] = {}
        self._size = size

    def note(self, signature_hash: str, model: str) -> None:
        if len(self._models) >= self._size:
            for old in list(self._models)[: self._size // 10]:
                del self._models[old]
        self._models[signature_hash] = model

    def of(self, signature_hash: str) -> str:
        return self._models.get(signature_hash, "")

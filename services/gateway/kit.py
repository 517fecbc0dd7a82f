"""What one gateway process has in hand, wired once in main.py and passed down."""

import asyncio
from collections import deque
from collections.abc import Callable

from msgspec import Struct, field

from libs.common.bus import Bus
from libs.common.catalogue import Catalogue
from libs.common.contracts.routing import Candidate
from libs.common.outbox import Outbox
from libs.common.prices import PriceTable
from libs.common.settings import Settings
from libs.common.settings.load import Loaded
from services.gateway.auth import Keys
from services.gateway.call import Call
from services.gateway.dashboard.session import Sessions
from services.gateway.deployments import Deployments
from services.gateway.embedder import Embedder
from services.gateway.masking import SpanCache
from services.gateway.spent import Spent
from services.gateway.upstream import Upstreams
from services.gateway.vault import Vault

# Of the last so many first-token times; fewer than MIN_SEEN say nothing.
WINDOW, MIN_SEEN, PERCENTILE = 200, 20, 0.95


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
    first_tokens: "FirstTokens"
    sessions: Sessions
    embedder: Embedder | None = None
    spent: Spent = field(default_factory=Spent)
    open_calls: dict[str, tuple[Call, Callable[[], object]]] = field(default_factory=dict)
    background: set[asyncio.Future[None]] = field(default_factory=set)
    keys_used: dict[str, float] = field(default_factory=dict)
    draining: bool = False


class FirstTokens:
    """First-token times (seconds) of a deployment's model, as this process has seen them."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], deque[float]] = {}

    def note(self, candidate: Candidate, seconds: float) -> None:
        key = (candidate.deployment, candidate.model)
        self._seen.setdefault(key, deque(maxlen=WINDOW)).append(seconds)

    def p95(self, candidate: Candidate) -> float | None:
        """None while too few are known."""
        seen = self._seen.get((candidate.deployment, candidate.model), ())
        if len(seen) < MIN_SEEN:
            return None
        return sorted(seen)[int(PERCENTILE * len(seen))]


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

"""Who asks: the key record that a credential resolves to, and the identity it carries on."""

from typing import Literal

from msgspec import Struct

from libs.common.contracts.base import Event, Operation

Routing = Literal["respect", "within-family", "auto"]
# From the narrowest to the widest.
ROUTINGS: tuple[Routing, ...] = ("respect", "within-family", "auto")
Switch = Literal["on", "off"]
CacheMode = Literal["off", "read", "read-write", "semantic"]


class Limits(Struct, frozen=True, kw_only=True):
    """Zero means: no limit of its own."""

    rpm: int = 0
    tpm: int = 0
    concurrency: int = 0


class Key(Struct, frozen=True, kw_only=True):
    """A key's record. Never holds the key itself; `id` is `key_` + 16 hex of its SHA-256.
    `routing_max` is the widest mode a request may ask for; empty: no wider than `routing`."""

    id: str
    name: str = ""
    org: str = "default"
    team: str = ""
    user: str = ""
    admin: bool = False
    routing: Routing = "auto"
    routing_max: Routing | Literal[""] = ""
    pii: Switch = "on"
    cache: CacheMode = "off"
    models: tuple[str, ...] = ()
    limits: Limits = Limits()
    subscription: bool = False
    managed: bool = False
    prefix: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0
    revoked_at: float = 0.0

    @property
    def widest(self) -> Routing:
        return self.routing_max or self.routing

    @property
    def routing_fault(self) -> str:
        """What is wrong with the two modes, if anything."""
        if ROUTINGS.index(self.widest) >= ROUTINGS.index(self.routing):
            return ""
        return f"{self.routing_max!r} is narrower than the key's routing {self.routing!r}"


class Principal(Struct, frozen=True, kw_only=True, gc=False):
    """The identity a request is booked on. `run` and the agents come from the client: they
    attribute, they never authorise."""

    key_id: str
    key_name: str = ""
    org: str = "default"
    team: str = ""
    user: str = ""
    run: str = ""
    agent: str = ""
    parent_agent: str = ""
    admin: bool = False


class LookUpKey(Struct, frozen=True, kw_only=True):
    sha256: str


class FoundKey(Struct, frozen=True, kw_only=True):
    """`key` is None for a credential that no managed key has."""

    key: Key | None = None


class KeysChanged(Struct, frozen=True, kw_only=True):
    """Drop what you cached of these key ids; empty means all."""

    ids: tuple[str, ...] = ()


LOOK_UP_KEY = Operation("ledger.key.lookup.v1", LookUpKey, FoundKey)
KEYS_CHANGED = Event("keys.changed.v1", KeysChanged)

"""Who asks: the key record that a credential resolves to, and the identity it carries on."""

from typing import Literal

from msgspec import Struct

from libs.common.contracts.base import Event, Operation

Routing = Literal["respect", "within-family", "auto"]
Switch = Literal["on", "off"]
CacheMode = Literal["off", "read", "read-write", "semantic"]


class Limits(Struct, frozen=True, kw_only=True):
    """Zero means: no limit of its own."""

    rpm: int = 0
    tpm: int = 0
    concurrency: int = 0


class Key(Struct, frozen=True, kw_only=True):
    """A key's record. Never holds the key itself; `id` is `key_` + 16 hex of its SHA-256."""

    id: str
    name: str = ""
    org: str = "default"
    team: str = ""
    user: str = ""
    admin: bool = False
    routing: Routing = "auto"
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

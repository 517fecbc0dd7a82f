"""Bootstrap keys: `[keys.NAME]`, each with its own policy."""

from typing import Literal

from msgspec import Struct

from libs.common.contracts.identity import CacheMode, Routing, Switch


class KeySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`key` is the secret or its location (`env:NAME`). Zero limits mean: none of its own.
    `routing_max` is the widest mode that a request may ask for by header; empty: `routing`.
    `subscription = true` passes the client's own Claude subscription (an OAuth bearer) on."""

    key: str
    org: str = "default"
    team: str = ""
    user: str = ""
    routing: Routing = "auto"
    routing_max: Routing | Literal[""] = ""
    pii: Switch = "on"
    cache: CacheMode = "off"
    rpm: int = 0
    tpm: int = 0
    concurrency: int = 0
    admin: bool = False
    models: list[str] = []
    subscription: bool = False

"""Masking: which entity types, and what happens to each."""

from typing import Literal

from msgspec import Struct, field

Action = Literal["mask", "block", "allow", "report"]


class PiiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`entities` sets the action per type (default: mask). `allow` lists values that are never
    masked, `deny` values that always are."""

    entities: dict[str, Action] = field(default_factory=dict)
    allow: list[str] = []
    deny: list[str] = []
    scope: Literal["tenant", "conversation"] = "tenant"
    output: Literal["off", "mask", "block"] = "off"
    model: str = ""
    workers: int = 0
    region: str = "US"
    cache_blocks: int = 50_000

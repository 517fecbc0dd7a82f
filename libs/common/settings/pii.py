"""Masking: which entity types, and what happens to each."""

from typing import Literal

from msgspec import Struct, field

Action = Literal["mask", "block", "allow", "report"]
OnOutput = Literal["off", "mask", "block"]


class PiiLists(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The lists of one tenant, on top of the general ones."""

    allow: list[str] = []
    deny: list[str] = []


class PiiSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`entities` sets the action per type (default: mask); `teams` and `keys`, by name, differ from
    it for one team or key, a key's own first. `allow` lists values that are never
    masked (`@acme.com`: the addresses of a domain), `deny` values that always are (`TYPE:value`,
    or a value alone); `orgs` adds a tenant's own. `output` says what happens to values that a model
    itself produces. `model` names a spaCy package, a folder that
    holds one, or `gliner:FOLDER`: it finds names in prose. `workers` are processes; 0 scans in a
    thread beside the loop, and short texts in between."""

    entities: dict[str, Action] = field(default_factory=dict)
    teams: dict[str, dict[str, Action]] = field(default_factory=dict)
    keys: dict[str, dict[str, Action]] = field(default_factory=dict)
    allow: list[str] = []
    deny: list[str] = []
    orgs: dict[str, PiiLists] = field(default_factory=dict)
    scope: Literal["tenant", "conversation"] = "tenant"
    output: OnOutput = "off"
    model: str = ""
    workers: int = 0
    region: str = "US"
    cache_blocks: int = 50_000

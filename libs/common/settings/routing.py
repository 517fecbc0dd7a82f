"""Routing: the pool, the aliases, the rules. Hot-reloaded by the router."""

from typing import Literal

from msgspec import Struct, field


class RuleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One policy rule; every condition given must hold, the first rule that matches wins.
    `use` names a model or a tier (cheap, standard, premium)."""

    model: str = ""
    key: str = ""
    team: str = ""
    label: str = ""
    min_tokens: int = 0
    max_tokens: int = 0
    use: str = ""
    routing: Literal["", "respect", "within-family", "auto"] = ""
    reason: str = ""


class RoutingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pool` replaces the shipped pool (provider → tier → model). `aliases` maps asked names
    to models. `unpriced` is what happens with a model no price is known for."""

    pool: dict[str, dict[str, str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    rules: list[RuleSettings] = []
    baseline: str = ""
    default_model: str = ""
    scorer: str = ""
    unpriced: Literal["dearest", "refuse", "allow"] = "dearest"
    sticky: bool = True

"""Routing: the pool, the aliases, the rules. Hot-reloaded by the router."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Hours = Annotated[str, Meta(pattern=r"^(|([01]?\d|2[0-4])-([01]?\d|2[0-4]))$")]


class RuleSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One policy rule; every condition given must hold, the first rule that matches wins.
    `use` names a model or a tier (cheap, standard, premium).

    `tag` is the word of the header `x-modelmuxer-tag`; `hours` ("22-6") and `days` (0 is
    Monday) are in UTC; `budget_above` is percent spent of the tightest budget.
    """

    model: str = ""
    key: str = ""
    team: str = ""
    label: str = ""
    tag: str = ""
    min_tokens: int = 0
    max_tokens: int = 0
    hours: Hours = ""
    days: list[int] = []
    budget_above: float = 0.0
    use: str = ""
    routing: Literal["", "respect", "within-family", "auto"] = ""
    reason: str = ""


class TrialSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A second scorer. With `share` 0 it only watches (its choice is noted beside the served
    one); above 0 that share of the keys, always the same ones, is served by it."""

    scorer: str = ""
    share: float = 0.0


class RoutingSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pool` replaces the shipped pool (provider → tier → model). `aliases` maps asked names
    to models. `unpriced` is what happens with a model no price is known for. `fallbacks`
    lists, per asked model, what may stand in for it in mode `respect`.

    `bar` is the probability of being good enough that a model needs to be chosen;
    `translation` multiplies the cost of a model that needs the request translated.
    `scorer` is a file of `modelmuxer router train` (empty: the one that ships, "off": none).
    """

    pool: dict[str, dict[str, str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    rules: list[RuleSettings] = []
    fallbacks: dict[str, list[str]] = field(default_factory=dict)
    baseline: str = ""
    default_model: str = ""
    scorer: str = ""
    trial: TrialSettings = TrialSettings()
    unpriced: Literal["dearest", "refuse", "allow"] = "dearest"
    sticky: bool = True
    bar: float = 0.70
    translation: float = 1.2
    session_ttl: float = 3600.0
    candidates: int = 6
    reload_every: float = 1.0

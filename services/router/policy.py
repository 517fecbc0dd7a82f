"""What the rules, the key and the caller allow. Pure; the first rule that matches wins."""

import time
from collections.abc import Sequence
from fnmatch import fnmatchcase

from libs.common.catalogue import TIERS, ModelFacts
from libs.common.contracts.identity import Routing
from libs.common.contracts.routing import Route
from libs.common.errors import Forbidden
from libs.common.settings.routing import RuleSettings

# From the widest to the narrowest.
MODES: tuple[Routing, ...] = ("auto", "within-family", "respect")


def first_rule(
    rules: Sequence[RuleSettings], route: Route, label: str, facts: ModelFacts | None, now: float
) -> RuleSettings | None:
    """The first rule whose every condition holds."""
    return next((rule for rule in rules if _holds(rule, route, label, facts, now)), None)


def _holds(
    rule: RuleSettings, route: Route, label: str, facts: ModelFacts | None, now: float
) -> bool:
    features, principal = route.features, route.principal
    tokens = features.input_tokens
    clock = time.gmtime(now)
    return (
        (not rule.model or _names(rule.model, features.model, facts))
        and (not rule.key or rule.key in (principal.key_id, principal.key_name))
        and (not rule.team or rule.team == principal.team)
        and (not rule.label or rule.label == label)
        and (not rule.tag or rule.tag == route.tag)
        and tokens >= rule.min_tokens
        and (not rule.max_tokens or tokens <= rule.max_tokens)
        and route.budget_percent >= rule.budget_above
        and (not rule.hours or _within(rule.hours, clock.tm_hour))
        and (not rule.days or clock.tm_wday in rule.days)
    )


def _names(pattern: str, asked: str, facts: ModelFacts | None) -> bool:
    """A tier, a glob or a name: of the asked name, or of the model it leads to."""
    if pattern in TIERS:
        return facts is not None and facts.tier == pattern
    return fnmatchcase(asked, pattern) or (facts is not None and fnmatchcase(facts.name, pattern))


def _within(hours: str, hour: int) -> bool:
    """`22-6` spans midnight."""
    first, _, last = hours.partition("-")
    start, end = int(first), int(last)
    return start <= hour < end if start <= end else hour >= start or hour < end


def narrower(one: Routing, other: Routing | str) -> Routing:
    """The narrower of two modes; an empty one says nothing."""
    if other not in MODES:
        return one
    return max(one, other, key=MODES.index)


def allowed(models: Sequence[str], *names: str) -> bool:
    """Is one of a model's names on the key's list? An empty list allows everything."""
    return not models or any(fnmatchcase(name, glob) for glob in models for name in names)


def check_asked(models: Sequence[str], *names: str) -> None:
    if not allowed(models, *names):
        raise Forbidden(
            f"model: this key may not use {names[0]!r}; it may use {', '.join(models)}",
            {"models": list(models)},
        )

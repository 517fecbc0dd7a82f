"""Decide one request: policy, capability, quality, cost, then the ordered candidates. Pure."""

import hashlib
import math
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from libs.common.catalogue import TIERS
from libs.common.contracts.routing import Features, Plan, Route
from libs.common.errors import Unavailable
from services.router import cost
from services.router.asked import Asked, asked_for
from services.router.label import Label, label_within
from services.router.options import options_of
from services.router.plan import plan_of
from services.router.policy import check_asked, first_rule, narrower
from services.router.quality import difficulty, good_enough, skill
from services.router.stay import settle
from services.router.task import Ranked, Task
from services.router.view import Option, Pin, View

# Asking for a cheap model says that cheap is safe.
CHEAP_CEILING = 0.30
# What a model loses that cannot think where the caller wants it to.
THOUGHTLESS = 0.10
# What a tool failure in a row adds to the difficulty; on a cheap model the first one is enough.
ERROR_STEP, ERROR_FLOOR, MOST_ERRORS = 0.08, 0.60, 4


class Choice(Struct, frozen=True, kw_only=True):
    """A plan with what the session should remember of it."""

    plan: Plan
    label: Label
    difficulty: float
    pin: Pin | None = None


def decide(
    route: Route,
    view: View,
    *,
    now: float,
    decision_id: str = "",
    pin: Pin | None = None,
    origins: Mapping[str, str] | None = None,
    needed: float | None = None,
) -> Choice:
    """The plan for one request.

    `origins` maps thinking signatures to the models that made them, `needed` is the scorer's
    word. Raises NotFound, Forbidden, InvalidRequest or Unavailable.
    """
    if not view.deployments:
        raise Unavailable("no provider is live yet; see docs/configuration.md#providers")
    asked = asked_for(route.features.model, view)
    if not asked.auto:
        check_asked(route.models, *_names(asked))
    route = replace(route, models=_listed(route.models, asked, view))
    held = pin or _thinker(route.features, origins or {}, now)
    task = _task(route, view, asked, held, origins or {}, now, needed)
    options, rejected = options_of(task, view)
    ranked = sorted((_rank(task, view, each) for each in options), key=lambda r: r.order)
    ordered, moved, stay = settle(task, ranked)
    plan = plan_of(task, view, ordered, moved, stay, rejected, decision_id)
    return Choice(plan=plan, label=task.label, difficulty=task.difficulty, pin=pin)


def _thinker(features: Features, origins: Mapping[str, str], now: float) -> Pin | None:
    """Without a pin, a task under way belongs to the model that last thought in it."""
    made = [origins[signature] for signature in features.signatures if signature in origins]
    if not made or not features.last_is_tool_result:
        return None
    return Pin(deployment="", model=made[-1], asked=features.model, at=now)


def _listed(models: Sequence[str], asked: Asked, view: View) -> tuple[str, ...]:
    """The key's list with what its names lead to: an old name allows its living successor."""
    if not models:
        return ()
    found = (view.rules.catalogue.resolve(name) for name in models)
    targets = [each.model for each in found if each and each.model]
    return (*models, *targets, *([asked.facts.name] if asked.facts else []))


def _names(asked: Asked) -> tuple[str, ...]:
    return (asked.name, asked.facts.name) if asked.facts else (asked.name,)


def _task(
    route: Route,
    view: View,
    asked: Asked,
    pin: Pin | None,
    origins: Mapping[str, str],
    now: float,
    needed: float | None,
) -> Task:
    features = route.features
    label = label_within(features, pin.label if pin else "")
    rule = first_rule(view.rules.settings.rules, route, label.name, asked.facts, now)
    mode = "auto" if asked.auto else narrower(route.routing, rule.routing if rule else "")
    if rule and rule.routing and not asked.auto:
        mode = rule.routing
    cheap = asked.facts is not None and asked.facts.tier == "cheap"
    hard = difficulty(label, needed, CHEAP_CEILING if cheap else 1.0)
    if pin and pin.errors and not cheap:
        hard = max(hard, ERROR_FLOOR) + ERROR_STEP * (min(pin.errors, MOST_ERRORS) - 1)
    return Task(
        route=route,
        asked=asked,
        label=label,
        rule=rule,
        mode=mode,
        difficulty=min(1.0, hard),
        pin=pin,
        origins=origins,
        now=now,
    )


def _rank(task: Task, view: View, option: Option) -> Ranked:
    facts, features, rules = option.facts, task.features, view.rules
    able = skill(facts, task.label.name, rules.learned)
    if features.thinking != "off" and facts.thinking == "none":
        able -= THOUGHTLESS
    quality = good_enough(able, task.difficulty)
    pinned = task.pin is not None and task.pin.model == facts.name
    spend = cost.spend(
        features,
        option.price,
        max_tokens=min(features.max_tokens or facts.max_output, facts.max_output),
        output=task.label.output,
        context=facts.context,
        warm=task.pin.warm(task.now) if task.pin and pinned else 0,
        turns=task.turns,
    )
    good = quality >= rules.settings.bar
    shut = view.health.why_shut(option.deployment.id, facts.name, task.now)
    price = spend.stretch * (rules.settings.translation if option.translated else 1.0)
    own = facts is task.asked.facts and (task.mode == "respect" or not task.asked.known)
    order = (
        bool(shut),
        not own,
        not good,
        price if good else -quality,
        TIERS.index(facts.tier),
        _affinity(task, option),
    )
    return Ranked(option=option, quality=quality, good=good, spend=spend, shut=shut, order=order)


def _affinity(task: Task, option: Option) -> float:
    """Equal deployments share the sessions by weight, and a session keeps its own."""
    principal = task.route.principal
    text = f"{principal.key_id}/{task.route.session or principal.key_id}/{option.deployment.id}"
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    uniform = (int.from_bytes(digest, "big") + 1) / (2**64 + 1)
    return -math.log(uniform) / max(1, option.deployment.weight)

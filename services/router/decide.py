"""Decide one request: policy, capability, quality, cost, then the ordered candidates. Pure."""

import hashlib
import math
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from libs.common.catalogue import TIERS, ModelFacts
from libs.common.contracts.identity import Routing
from libs.common.contracts.routing import Candidate, Deployment, Features, Plan, Rejected, Route
from libs.common.errors import Forbidden, InvalidRequest, NotFound, Unavailable
from libs.common.settings.routing import RuleSettings
from services.router import cost, reasons
from services.router.asked import Asked, asked_for, undated
from services.router.capability import adaptations, why_not
from services.router.label import Label, label_of
from services.router.policy import allowed, check_asked, first_rule, narrower
from services.router.quality import difficulty, good_enough, skill
from services.router.view import Option, Pin, View, pool_of, serves

# Asking for a cheap model says that cheap is safe.
CHEAP_CEILING = 0.30
# What a tool failure in a row adds to the difficulty; on a cheap model the first one is enough.
STRONG = ("max", "xhigh")
ERROR_STEP, ERROR_FLOOR, MOST_ERRORS = 0.08, 0.60, 4


class Ranked(Struct, frozen=True, kw_only=True):
    """An option with what is thought of it."""

    option: Option
    quality: float
    good: bool
    spend: cost.Spend
    shut: str
    order: tuple[float, ...]


class Choice(Struct, frozen=True, kw_only=True):
    """A plan with what the session should remember of it."""

    plan: Plan
    label: Label
    difficulty: float
    pin: Pin | None = None


class Task(Struct, frozen=True, kw_only=True):
    """A request with what was found out about it."""

    route: Route
    asked: Asked
    label: Label
    rule: RuleSettings | None
    mode: Routing
    difficulty: float
    pin: Pin | None
    origins: Mapping[str, str]
    now: float

    @property
    def features(self) -> Features:
        return self.route.features

    @property
    def turns(self) -> float:
        """How many turns this stretch is expected to take, the present one included."""
        if self.features.background:
            return 1.0
        prior = cost.AGENT_TURNS if self.features.tools >= 3 else cost.CHAT_TURNS
        pin = self.pin
        return cost.stretch_of(pin.tasks, pin.turns, prior) if pin else prior


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
    task = _task(route, view, asked, pin, origins or {}, now, needed)
    options, rejected = _options(task, view)
    ranked = sorted((_rank(task, view, each) for each in options), key=lambda r: r.order)
    ordered, moved, stay = _settle(task, ranked)
    plan = _plan(task, view, ordered, moved, stay, rejected, decision_id)
    return Choice(plan=plan, label=task.label, difficulty=task.difficulty, pin=pin)


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
    label = label_of(features)
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


def _options(task: Task, view: View) -> tuple[list[Option], list[Rejected]]:
    """Every model and deployment that may and can do it; else why not.

    Raises Forbidden, NotFound or InvalidRequest if none is left.
    """
    wanted = _wanted(task, view)
    fit, rejected = _fit(task, view, wanted)
    if not fit and task.mode == "auto":
        # The pool cannot: any other model of a live provider may.
        others = [
            (deployment, facts)
            for deployment in view.deployments
            for facts in view.rules.catalogue.models()
            if serves(deployment, facts) and not deployment.models
        ]
        fit, more = _fit(task, view, others)
        rejected += more
    if not fit:
        fit = _too_long(task, view, wanted)
    if not fit:
        raise _nothing_left(task, wanted, rejected)
    return fit, rejected


def _wanted(task: Task, view: View) -> list[tuple[Deployment, ModelFacts]]:
    """What the mode and the rule let us choose from."""
    catalogue, asked = view.rules.catalogue, task.asked.facts
    names: list[ModelFacts] = [asked] if asked else []
    if task.mode == "respect" and asked:
        listed = view.rules.settings.fallbacks
        for name in listed.get(task.asked.name) or listed.get(asked.name) or []:
            found = catalogue.resolve(name)
            facts = catalogue.facts(found.model) if found else None
            names += [facts] if facts else []
    wanted = [(d, facts) for facts in names for d in view.deployments if serves(d, facts)]
    if task.mode != "respect":
        for deployment in view.deployments:
            for facts in pool_of(deployment, catalogue):
                if task.mode == "auto" or _sibling(facts, asked):
                    wanted.append((deployment, facts))
    return _used(task, view, list({(d.id, f.name): (d, f) for d, f in wanted}.values()))


def _sibling(facts: ModelFacts, asked: ModelFacts | None) -> bool:
    """A model of the same provider that is not above the asked one."""
    return (
        asked is not None
        and facts.provider == asked.provider
        and TIERS.index(facts.tier) <= TIERS.index(asked.tier)
    )


def _used(
    task: Task, view: View, wanted: list[tuple[Deployment, ModelFacts]]
) -> list[tuple[Deployment, ModelFacts]]:
    """What the rule's `use` leaves: a tier, or one model."""
    use = task.rule.use if task.rule else ""
    if not use:
        return wanted
    if use in TIERS:
        return [(d, f) for d, f in wanted if f.tier == use] or wanted
    found = view.rules.catalogue.resolve(use)
    facts = view.rules.catalogue.facts(found.model) if found else None
    if facts is None:
        return wanted
    return [(d, facts) for d in view.deployments if serves(d, facts)] or wanted


def _fit(
    task: Task, view: View, wanted: Sequence[tuple[Deployment, ModelFacts]]
) -> tuple[list[Option], list[Rejected]]:
    fit, rejected = [], []
    for deployment, facts in wanted:
        why = _why_not(task, facts, deployment)
        price = None
        if not why:
            try:
                price = view.rules.prices.price(
                    facts.provider, facts.name, view.rules.settings.unpriced
                )
            except InvalidRequest as error:
                why = error.detail
        if price is None:
            rejected.append(Rejected(model=facts.name, why=why))
        else:
            fit.append(Option(deployment=deployment, facts=facts, price=price))
    return fit, rejected


def _why_not(task: Task, facts: ModelFacts, deployment: Deployment) -> str:
    if not allowed(task.route.models, facts.name, undated(facts.name)):
        return "is not on the key's list"
    if task.features.continues_thread and task.pin and task.pin.model != facts.name:
        return "does not hold the thread"
    return why_not(task.features, facts, deployment)


def _too_long(task: Task, view: View, wanted: list[tuple[Deployment, ModelFacts]]) -> list[Option]:
    """A prompt beyond every window goes to the widest: clients know the provider's own words
    for it, and compact."""
    short = replace(task.route, features=replace(task.features, input_tokens=1))
    fit, _ = _fit(replace(task, route=short), view, wanted)
    widest = max((option.facts.context for option in fit), default=0)
    if task.features.input_tokens <= widest:
        return []
    return [option for option in fit if option.facts.context == widest]


def _nothing_left(
    task: Task, wanted: list[tuple[Deployment, ModelFacts]], rejected: list[Rejected]
) -> Exception:
    whys = "; ".join(dict.fromkeys(f"{each.model} {each.why}" for each in rejected))
    if not wanted:
        return NotFound(
            f"model: no live provider serves {task.asked.name[:100]!r} in mode {task.mode}; "
            "use routing `auto`, or give its provider a key"
        )
    if any(each.why == "is not on the key's list" for each in rejected):
        return Forbidden(f"model: no model on the key's list can do this request ({whys})")
    return InvalidRequest(f"model: no model can do this request ({whys})")


def _rank(task: Task, view: View, option: Option) -> Ranked:
    facts, features, rules = option.facts, task.features, view.rules
    quality = good_enough(skill(facts, task.label.name, rules.learned), task.difficulty)
    pinned = task.pin is not None and task.pin.model == facts.name
    spend = cost.spend(
        features,
        option.price,
        max_tokens=min(features.max_tokens or facts.max_output, facts.max_output),
        output=task.label.output,
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


def _settle(task: Task, ranked: list[Ranked]) -> tuple[list[Ranked], bool, str]:
    """The order of trying, whether a warm session moves, and why it does or stays."""
    pin = _held(task)
    here = next((r for r in ranked if pin and _is(r.option, pin)), None)
    if pin is None or here is None or here is ranked[0]:
        moved = pin is not None and pin.model != ranked[0].option.model
        return ranked, moved, reasons.GONE if moved else ""
    why = _why_stay(task, here, ranked[0])
    if not why:
        return ranked, True, reasons.HARDER if not here.good else reasons.PAYS
    return [here, *(r for r in ranked if r is not here)], False, why


def _held(task: Task) -> Pin | None:
    """The pin; without one, a task under way belongs to the model that last thought in it."""
    made = [task.origins[s] for s in task.features.signatures if s in task.origins]
    if task.pin or not made or not task.features.last_is_tool_result:
        return task.pin
    return Pin(deployment="", model=made[-1], asked=task.features.model, at=task.now)


def _is(option: Option, pin: Pin) -> bool:
    return option.model == pin.model and pin.deployment in ("", option.deployment.id)


def _why_stay(task: Task, here: Ranked, best: Ranked) -> str:
    """Why the session should stay where it is; empty if it should move."""
    pin, features = task.pin, task.features
    assert pin is not None
    if here.shut:
        return ""
    in_task = features.last_is_tool_result and pin.asked == features.model
    if not here.good and best.quality > here.quality:
        return reasons.IN_TASK if in_task and not _escalates(task) else ""
    if in_task:
        return reasons.IN_TASK
    return "" if _pays(task, pin, here, best) else reasons.WARM


def _pays(task: Task, pin: Pin, here: Ranked, best: Ranked) -> bool:
    """Is moving down worth it, with the way back and what has been gambled so far?"""
    if pin.credit < 0 and pin.ups >= cost.MOST_UPS:
        return False
    tokens = cost.likely_tokens(task.features)
    rates = here.option.price.rates(task.features.input_tokens)
    warm = bool(pin.warm(task.now))
    back = cost.way_back(rates, tokens, task.turns, tasks=pin.tasks, ups=pin.ups, warm=warm) * (
        cost.CAUTION if pin.credit < 0 else 1.0
    )
    return best.spend.stretch + back < here.spend.stretch


def _escalates(task: Task) -> bool:
    """Signs within a task that it is harder than it looked."""
    return task.features.effort in STRONG or task.pin is not None and task.pin.errors > 0


def _plan(
    task: Task,
    view: View,
    ordered: list[Ranked],
    moved: bool,
    stay: str,
    rejected: list[Rejected],
    decision_id: str,
) -> Plan:
    first = ordered[0]
    baseline, base_cost = _baseline(task, view)
    kept = _kept(ordered, max(1, view.rules.settings.candidates))
    return Plan(
        decision_id=decision_id,
        candidates=tuple(_candidate(task, each) for each in kept),
        reason=reasons.reason(task.label, task.rule, task.mode, first.option, stay, task.features),
        confidence=task.label.confidence,
        label=task.label.name,
        baseline=baseline,
        saved=base_cost - first.spend.expected,
        switch_cost=_switch_cost(task, first) if moved else 0,
        moved=moved,
        routing=task.mode,
        rejected=tuple(rejected),
    )


def _kept(ordered: list[Ranked], most: int) -> list[Ranked]:
    """The best ones, and the cheapest of all: a tight budget may leave room for it alone."""
    kept, rest = ordered[:most], ordered[most:]
    cheapest = min(ordered, key=lambda each: each.spend.estimate)
    return [*kept[:-1], cheapest] if rest and cheapest in rest else kept


def _candidate(task: Task, ranked: Ranked) -> Candidate:
    option, spend = ranked.option, ranked.spend
    foreign = _foreign(task, option.model)
    notes = adaptations(task.features, option.facts)
    if foreign:
        notes.append(f"{len(foreign)} thinking blocks of another model dropped")
    if ranked.shut:
        notes.append(ranked.shut)
    return Candidate(
        deployment=option.deployment.id,
        provider=option.deployment.provider,
        model=option.model,
        dialect=option.deployment.dialect,
        estimate=spend.estimate,
        input_cost=spend.input_cost,
        output_price=spend.output_price,
        max_tokens=spend.max_tokens,
        max_output=option.facts.max_output,
        expected=spend.expected,
        quality=round(ranked.quality, 4),
        unpriced=option.price.unpriced,
        simulated=option.deployment.simulated,
        why="; ".join([reasons.rank_words(ranked.good, ranked.quality), *notes]),
        foreign=foreign,
        catalogue=option.facts.provider,
    )


def _foreign(task: Task, model: str) -> tuple[str, ...]:
    """Signatures another model made. One nobody has seen is the asked model's."""
    asked = task.asked.facts.name if task.asked.facts else ""
    return tuple(
        signature
        for signature in task.features.signatures
        if undated(task.origins.get(signature, asked)) != undated(model)
    )


def _switch_cost(task: Task, first: Ranked) -> int:
    """What leaving a warm cache costs: writing again what could have been read."""
    warm = task.pin.warm(task.now) if task.pin else 0
    if not warm:
        return 0
    rates = first.option.price.rates(task.features.input_tokens)
    tokens = min(warm, cost.likely_tokens(task.features))
    return cost.way_back_now(rates, tokens)


def _baseline(task: Task, view: View) -> tuple[str, int]:
    """The model that savings are measured against, and what this turn would cost there."""
    rules = view.rules
    facts = task.asked.facts or _dearest(view)
    if facts is None:
        return "", 0
    price = rules.prices.find(facts.provider, facts.name) or rules.prices.dearest(facts.provider)
    if price is None:
        return facts.name, 0
    pin = task.pin
    warm = pin.warm(task.now) if pin and pin.turns else 0
    spend = cost.spend(
        task.features,
        price,
        max_tokens=min(task.features.max_tokens or facts.max_output, facts.max_output),
        output=task.label.output,
        warm=warm,
    )
    return facts.name, spend.expected


def _dearest(view: View) -> ModelFacts | None:
    """`routing.baseline`, else the dearest premium model of the live pool."""
    catalogue, prices = view.rules.catalogue, view.rules.prices
    found = catalogue.resolve(view.rules.settings.baseline or "-")
    if found and (facts := catalogue.facts(found.model)):
        return facts
    pool = [facts for d in view.deployments for facts in pool_of(d, catalogue)]
    priced = [(price.rates(0).output, facts) for facts in pool
              if (price := prices.find(facts.provider, facts.name))]  # fmt: skip
    return max(priced, key=lambda each: each[0], default=(0, None))[1]

"""Put a decision into a plan: candidates with their worst case, the reason, the saving."""

from libs.common.catalogue import ModelFacts
from libs.common.contracts.routing import Candidate, Plan, Rejected
from services.router import cost, reasons
from services.router.asked import undated
from services.router.capability import adaptations
from services.router.task import Ranked, Task
from services.router.view import View, pool_of


def plan_of(
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
        catalogue=option.catalogue,
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
    listed = rules.catalogue.facts(facts.name) or facts
    price = rules.prices.find(listed.provider, facts.name) or rules.prices.dearest(listed.provider)
    if price is None:
        return facts.name, 0
    pin = task.pin
    warm = pin.warm(task.now) if pin and pin.turns else 0
    spend = cost.spend(
        task.features,
        price,
        max_tokens=min(task.features.max_tokens or facts.max_output, facts.max_output),
        output=task.label.output,
        context=facts.context,
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

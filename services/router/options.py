"""Which models may do a request and can do it: policy first, then capability."""

from collections.abc import Sequence

from msgspec.structs import replace

from libs.common.catalogue import TIERS, ModelFacts
from libs.common.contracts.routing import Deployment, Rejected
from libs.common.errors import Forbidden, InvalidRequest, NotFound
from services.router.asked import undated
from services.router.capability import why_not
from services.router.policy import allowed
from services.router.task import Task
from services.router.view import Option, View, pool_of, price_list, serves

NOT_LISTED = "is not on the key's list"


def options_of(task: Task, view: View) -> tuple[list[Option], list[Rejected]]:
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
    wanted = [
        (deployment, facts)
        for facts in names
        for deployment in view.deployments
        if serves(deployment, facts) and not (facts is asked and _elsewhere(task, view, deployment))
    ]
    if task.mode != "respect":
        for deployment in view.deployments:
            for facts in pool_of(deployment, catalogue):
                if task.mode == "auto" or _sibling(facts, asked):
                    wanted.append((deployment, facts))
    return _used(task, view, list({(d.id, f.name): (d, f) for d, f in wanted}.values()))


def _elsewhere(task: Task, view: View, deployment: Deployment) -> bool:
    """`east/some-model` names the caller's own provider `east`, so no other one will do."""
    asked = task.asked.facts
    if asked is None or not task.asked.name.startswith(f"{asked.provider}/"):
        return False
    listed = view.rules.catalogue.facts(asked.name)
    own = listed is None or listed.provider != asked.provider
    return own and deployment.provider != asked.provider


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
                    price_list(deployment, facts), facts.name, view.rules.settings.unpriced
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
        return NOT_LISTED
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
    if any(each.why == NOT_LISTED for each in rejected):
        return Forbidden(f"model: no model on the key's list can do this request ({whys})")
    return InvalidRequest(f"model: no model can do this request ({whys})")

"""What the caller asked for: a model, a name that leads to one, or "you choose"."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from libs.common.catalogue import DATED, Catalogue, ModelFacts
from libs.common.contracts.routing import Deployment
from libs.common.errors import NotFound
from services.router.view import View, serves, unknown


class Asked(Struct, frozen=True, kw_only=True):
    """`facts` is None when the choice is left to the router."""

    name: str
    facts: ModelFacts | None = None
    known: bool = True

    @property
    def auto(self) -> bool:
        return self.facts is None


def asked_for(name: str, view: View) -> Asked:
    """Resolve an asked name. Raises NotFound, naming near matches."""
    catalogue = view.rules.catalogue
    found = catalogue.resolve(name or view.rules.settings.default_model or "modelmuxer-auto")
    if found is None and (lister := _lister(name, view.deployments)):
        return Asked(name=name, facts=unknown(name, lister.provider))
    if found is None:
        raise _not_found(name, catalogue, view.deployments)
    if found.auto:
        return Asked(name=name)
    facts = catalogue.facts(found.model)
    if facts is not None and found.known:
        return Asked(name=name, facts=_as_named(facts, found.model, found.provider))
    facts = unknown(found.model, found.provider)
    if not any(serves(deployment, facts) for deployment in view.deployments):
        raise _not_found(name, catalogue, view.deployments)
    return Asked(name=name, facts=facts, known=False)


def undated(model: str) -> str:
    return DATED.sub("", model)


def _as_named(facts: ModelFacts, model: str, provider: str) -> ModelFacts:
    """A dated release keeps its own name, and a provider of the caller's own its models."""
    if (facts.name, facts.provider) == (model, provider):
        return facts
    return replace(facts, name=model, provider=provider)


def _lister(name: str, deployments: Sequence[Deployment]) -> Deployment | None:
    """The deployment that lists a model of that name, which the catalogue need not know."""
    return next((each for each in deployments if name in each.models), None)


def _not_found(name: str, catalogue: Catalogue, deployments: Sequence[Deployment]) -> NotFound:
    near = catalogue.near(name)
    live = sorted({deployment.provider for deployment in deployments})
    return NotFound(
        f"model: {name[:100]!r} is not known; {catalogue.hint(name)} "
        f"(live providers: {', '.join(live) or 'none'})",
        {"model": name[:100], "near": near},
    )

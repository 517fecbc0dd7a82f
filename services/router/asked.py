"""What the caller asked for: a model, a name that leads to one, or "you choose"."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from libs.common.catalogue import DATED, Catalogue, ModelFacts
from libs.common.contracts.routing import Deployment
from libs.common.errors import NotFound
from services.router.view import View, serves

UNKNOWN_CONTEXT, UNKNOWN_OUTPUT = 1_000_000, 128_000


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
    if found is None:
        raise _not_found(name, catalogue, view.deployments)
    if found.auto:
        return Asked(name=name)
    facts = catalogue.facts(found.model)
    if facts is not None and found.known:
        return Asked(name=name, facts=_as_named(facts, found.model, found.provider))
    facts = _unknown(found.model, found.provider)
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


def _unknown(model: str, provider: str) -> ModelFacts:
    """A model nobody knows anything of is believed to take everything."""
    claude = provider == "anthropic"
    return ModelFacts(
        name=model,
        provider=provider,
        tier="premium",
        context=UNKNOWN_CONTEXT,
        max_output=UNKNOWN_OUTPUT,
        images=True,
        documents=True,
        thinking="both",
        effort=True,
        structured=True,
        server_tools=claude,
        system_role=claude,
        display=model,
    )


def _not_found(name: str, catalogue: Catalogue, deployments: Sequence[Deployment]) -> NotFound:
    near = catalogue.near(name)
    live = sorted({deployment.provider for deployment in deployments})
    return NotFound(
        f"model: {name[:100]!r} is not known; did you mean {', '.join(near)}? "
        f"(live providers: {', '.join(live) or 'none'})",
        {"model": name[:100], "near": near},
    )

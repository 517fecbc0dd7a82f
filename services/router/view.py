"""What the router knows when it decides: the rules, the live deployments, their health."""

from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from libs.common.catalogue import Catalogue, ModelFacts
from libs.common.contracts.routing import Deployment
from libs.common.prices import Price, PriceTable
from libs.common.settings.routing import RoutingSettings
from services.router.health import Health
from services.router.scorer import Scorer

UNKNOWN_CONTEXT, UNKNOWN_OUTPUT = 1_000_000, 128_000


class Rules(Struct, frozen=True, kw_only=True):
    """Everything that a reload replaces at once."""

    settings: RoutingSettings
    catalogue: Catalogue
    prices: PriceTable
    scorer: Scorer | None = None
    trial: Scorer | None = None
    learned: Mapping[tuple[str, str], float] = field(default_factory=dict)


class View(Struct, frozen=True, kw_only=True):
    rules: Rules
    deployments: Sequence[Deployment]
    health: Health


class Pin(Struct, frozen=True, kw_only=True):
    """Where a session is: who serves it, since when, and what its cache holds.

    `asked` is the model it asked for; `errors` and `refusals` how many in a row it has seen;
    `tasks` how many user turns among its `turns`; `ups` how often it had to move up; `credit`
    what routing it has saved so far against its baseline (micro-dollars, by our estimates).
    """

    deployment: str
    model: str
    asked: str
    at: float
    tokens: int = 0
    ttl: float = 300.0
    label: str = ""
    errors: int = 0
    refusals: int = 0
    turns: int = 0
    tasks: int = 0
    ups: int = 0
    credit: int = 0

    def warm(self, now: float) -> int:
        """Tokens its model's prompt cache still holds."""
        return self.tokens if now - self.at <= self.ttl else 0


class Option(Struct, frozen=True, kw_only=True):
    """A model at a deployment, with its price."""

    deployment: Deployment
    facts: ModelFacts
    price: Price

    @property
    def model(self) -> str:
        return self.facts.name

    @property
    def translated(self) -> bool:
        return self.catalogue != "anthropic"

    @property
    def catalogue(self) -> str:
        return price_list(self.deployment, self.facts)


def price_list(deployment: Deployment, facts: ModelFacts) -> str:
    """The provider whose prices hold for a model there; the gateway books by the same rule."""
    return deployment.catalogue or facts.provider


def serves(deployment: Deployment, facts: ModelFacts) -> bool:
    """Can the deployment be asked for this model?"""
    if deployment.models:
        return facts.name in deployment.models
    if deployment.simulated:
        return True
    return facts.provider in (deployment.provider, deployment.catalogue)


def pool_of(deployment: Deployment, catalogue: Catalogue) -> list[ModelFacts]:
    """The models `auto` may choose from at a deployment: its pool, else what it lists."""
    if deployment.simulated and not deployment.catalogue:
        names = [name for each in catalogue.providers() for name in catalogue.pool(each).values()]
    else:
        pool = catalogue.pool(deployment.provider) or catalogue.pool(deployment.catalogue)
        names = list(pool.values())
    named = [facts for name in names if (facts := catalogue.facts(name))]
    served = [facts for facts in named if serves(deployment, facts)]
    if served:
        return served
    return [catalogue.facts(m) or unknown(m, deployment.provider) for m in deployment.models]


def unknown(model: str, provider: str) -> ModelFacts:
    """Facts of a model the catalogue does not know: it is believed to take everything."""
    claude = provider == "anthropic"
    return ModelFacts(
        name=model,
        provider=provider,
        tier="premium" if claude else "standard",
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

"""A request with what was found out about it, and an option with what is thought of it."""

from collections.abc import Mapping

from msgspec import Struct

from libs.common.contracts.identity import Routing
from libs.common.contracts.routing import Features, Route
from libs.common.settings.routing import RuleSettings
from services.router import cost
from services.router.asked import Asked
from services.router.label import Label
from services.router.view import Option, Pin


class Task(Struct, frozen=True, kw_only=True):
    """One request. `origins` maps thinking signatures to the models that made them."""

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


class Ranked(Struct, frozen=True, kw_only=True):
    """An option with what is thought of it."""

    option: Option
    quality: float
    good: bool
    spend: cost.Spend
    shut: str
    order: tuple[float, ...]

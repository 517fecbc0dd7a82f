"""Build the rules from the settings, check them, and build them again when a file changes."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from libs.common.catalogue import TIERS, Catalogue
from libs.common.prices import PriceTable
from libs.common.settings.load import DEFAULT_FILE, ConfigError, Loaded, load
from libs.common.telemetry import ROUTER_RELOADS
from services.router.scorer import SHIPPED, Scorer, load_scorer
from services.router.view import Rules

log = logging.getLogger(__name__)
OFF = "off"


def build(loaded: Loaded) -> Rules:
    """Raises ConfigError with the path of what is wrong."""
    settings = loaded.settings.routing
    try:
        catalogue = Catalogue.load(loaded.settings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{loaded.file or DEFAULT_FILE}: models: {error}") from None
    _check(loaded, catalogue)
    scorer = _scorer(settings.scorer, SHIPPED)
    return Rules(
        settings=settings,
        catalogue=catalogue,
        prices=PriceTable.load(loaded),
        scorer=scorer,
        trial=_scorer(settings.trial.scorer, None),
        learned=_learned(scorer),
    )


def _scorer(name: str, default: Path | None) -> Scorer | None:
    if name == OFF or not (name or default):
        return None
    if name:
        return load_scorer(Path(name))
    return load_scorer(default) if default and default.exists() else None


def _learned(scorer: Scorer | None) -> dict[tuple[str, str], float]:
    """The skills that traffic taught, by (model, kind of work)."""
    skills = scorer.about.skills if scorer else {}
    return {(key.split(" ")[0], key.partition(" ")[2]): value for key, value in skills.items()}


def _check(loaded: Loaded, catalogue: Catalogue) -> None:
    """Every model that the rules name must be one we know. Raises ConfigError."""
    routing = loaded.settings.routing
    named = [("baseline", routing.baseline), ("default_model", routing.default_model)]
    named += [(f"aliases.{name}", target) for name, target in routing.aliases.items()]
    named += [
        (f"rules[{number}].use", rule.use)
        for number, rule in enumerate(routing.rules)
        if rule.use not in TIERS
    ]
    named += [
        (f"fallbacks.{name}", target)
        for name, targets in routing.fallbacks.items()
        for target in targets
    ]
    for provider, pool in routing.pool.items():
        if wrong := set(pool) - set(TIERS):
            raise ConfigError(
                f"routing.pool.{provider}.{min(wrong)}: is no tier; use {', '.join(TIERS)}"
            )
        named += [(f"pool.{provider}.{tier}", model) for tier, model in pool.items()]
    for path, name in named:
        if name and catalogue.resolve(name) is None:
            raise ConfigError(f"routing.{path}: {name!r} is not known; {catalogue.hint(name)}")
    for path, value in (("bar", routing.bar), ("trial.share", routing.trial.share)):
        if not 0 <= value <= 1:
            raise ConfigError(f"routing.{path}: {value} is not between 0 and 1")


class Reloader:
    """Notices that the settings or a scorer file changed, and says what to use from now on.

    A bad edit keeps the old rules; the log says why, once per edit.
    """

    def __init__(self, loaded: Loaded, use: Callable[[Rules], None]) -> None:
        self._loaded, self._use = loaded, use
        self._seen = self._stamp()

    def look(self) -> None:
        """Rebuild if a file changed since the last look."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            loaded = load(self._file(), self._loaded.environment)
            self._use(build(loaded))
        except ConfigError as error:
            log.error("the routing rules stay as they were: %s", error)
            ROUTER_RELOADS.labels("kept").inc()
            return
        self._loaded = loaded
        self._seen = self._stamp()
        ROUTER_RELOADS.labels("used").inc()
        log.info("new routing rules are in use")

    def _file(self) -> str | None:
        return self._loaded.file or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        routing = self._loaded.settings.routing
        names = (self._file() or DEFAULT_FILE, routing.scorer, routing.trial.scorer)
        return tuple(_mark(name) for name in names)


def _mark(name: str) -> tuple[int, int, int]:
    try:
        status = os.stat(name) if name else None
    except OSError:
        status = None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else (0, 0, 0)

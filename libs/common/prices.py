"""Prices as whole numbers: micro-dollars per million tokens, compiled from genai-prices.

A table is compiled once per version of genai-prices and kept as a file in the data directory
(or baked into an image and named by MODELMUXER_PRICES_FILE), so no service pays for the
library at run time. Prices that change on a known day change on that day without a restart.
"""

import hashlib
import logging
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from importlib.metadata import version as installed
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from libs.common.contracts.usage import Tokens
from libs.common.errors import InvalidRequest
from libs.common.settings.load import ConfigError, Loaded
from libs.common.settings.providers import ModelSettings

log = logging.getLogger(__name__)
MILLION = 1_000_000
BASE, BATCH = "", "batch"
# Changes when the compiled form does, so that a file of an older build is not read.
FORMAT = 1
# Names of ours for providers that genai-prices calls otherwise.
PROVIDERS = {"gemini": "google", "xai": "x-ai", "moonshot": "moonshotai", "bedrock": "aws"}
KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
# Names remembered per table; a caller who invents names makes us forget, not grow.
REMEMBERED = 4096


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Micro-dollars per million tokens; `web_search` per search, `request` per call."""

    input: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    reasoning: int = 0
    web_search: int = 0
    request: int = 0

    @property
    def worst_input(self) -> int:
        return max(self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h)

    @property
    def worst_output(self) -> int:
        return max(self.output, self.reasoning)


class Tier(Struct, frozen=True, array_like=True):
    """The rates of all tokens of a call with more than `above` input tokens."""

    above: int
    rates: Rates


Variants = dict[str, tuple[Tier, ...]]


class Period(Struct, frozen=True, array_like=True):
    """The rates from a day on (its proleptic ordinal; 0 for the first)."""

    start: int
    rates: Variants


class Match(Struct, frozen=True, array_like=True, omit_defaults=True):
    """A clause over a lower-case model name."""

    kind: str
    text: str = ""
    parts: "tuple[Match, ...]" = ()

    def holds(self, name: str) -> bool:
        match self.kind:
            case "or":
                return any(part.holds(name) for part in self.parts)
            case "and":
                return all(part.holds(name) for part in self.parts)
            case "starts":
                return name.startswith(self.text)
            case "ends":
                return name.endswith(self.text)
            case "contains":
                return self.text in name
            case "regex":
                return re.search(self.text, name) is not None
        return name == self.text


class PricedModel(Struct, frozen=True, array_like=True):
    id: str
    match: Match
    periods: tuple[Period, ...]

    def on(self, day: int) -> Variants:
        """The rates of that day."""
        held = [period for period in self.periods if period.start <= day]
        return (held or self.periods[:1])[-1].rates


class PricedProvider(Struct, frozen=True, array_like=True):
    id: str
    models: tuple[PricedModel, ...]
    fallback: tuple[str, ...] = ()


class PriceData(Struct, frozen=True, array_like=True):
    """The compiled file."""

    version: str
    providers: tuple[PricedProvider, ...]
    format: int = FORMAT


class Price(Struct, frozen=True, kw_only=True):
    """What one model costs. `unpriced` marks a stand-in for a price nobody knows."""

    provider: str
    model: str
    variants: Variants
    unpriced: bool = False

    def cost(self, tokens: Tokens, *, batch: bool = False, speed: str = "") -> int:
        """Micro-dollars of one attempt, rounded up once. `speed` is Anthropic's `speed` or
        OpenAI's `service_tier`; one without a price of its own costs the standard price."""
        total = tokens.input + tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
        rates = self.rates(total, batch=batch, speed=speed)
        parts = (
            tokens.input * rates.input
            + tokens.cache_read * rates.cache_read
            + tokens.cache_write_5m * rates.cache_write_5m
            + tokens.cache_write_1h * rates.cache_write_1h
            + (tokens.output - tokens.reasoning) * rates.output
            + tokens.reasoning * rates.reasoning
        )
        calls = tokens.web_searches * rates.web_search + rates.request
        return -(-parts // MILLION) + calls

    def input_worst(self, input_tokens: int, *, batch: bool = False, speed: str = "") -> int:
        """Micro-dollars of the input if every token were of the dearest kind."""
        rates = self.rates(input_tokens, batch=batch, speed=speed)
        return -(-input_tokens * rates.worst_input // MILLION) + rates.request

    def output_rate(self, input_tokens: int, *, batch: bool = False, speed: str = "") -> int:
        """Micro-dollars per million output tokens of a call with so much input."""
        return self.rates(input_tokens, batch=batch, speed=speed).worst_output

    def rates(self, input_tokens: int, *, batch: bool = False, speed: str = "") -> Rates:
        """The rates that hold for a call with so many input tokens, cached ones included."""
        variants = self.variants
        tiers = variants.get(BATCH if batch else speed) or variants[BASE]
        for tier in reversed(tiers):
            if input_tokens > tier.above:
                return tier.rates
        return tiers[0].rates


class PriceTable:
    """Every known price, the overrides of the configuration applied."""

    def __init__(self, data: PriceData, models: Mapping[str, ModelSettings] | None = None) -> None:
        self._providers = {provider.id: provider for provider in data.providers}
        self._overrides = {
            name.lower(): settings for name, settings in (models or {}).items() if _rated(settings)
        }
        self.version = _version(data.version, self._overrides)
        self._found: dict[tuple[str, str], Price | None] = {}
        self._dearest: dict[str, Price | None] = {}
        self._day = 0
        for name in self._overrides:
            self._check(name)

    @classmethod
    def load(cls, loaded: Loaded) -> "PriceTable":
        """The compiled table: baked, cached, or compiled now. Raises ConfigError."""
        baked = loaded.environment.get("MODELMUXER_PRICES_FILE", "")
        if baked:
            data = _read(Path(baked))
            if data is None:
                raise ConfigError(
                    f"MODELMUXER_PRICES_FILE: {baked} is no price table of this build"
                )
        else:
            data = _cached(loaded.settings.data / "cache")
        return cls(data, loaded.settings.models)

    def find(self, catalogue_provider: str, model: str) -> Price | None:
        """The price of a model on today's date, or None if nobody knows one."""
        self._turn_the_day()
        key = (catalogue_provider, model)
        if key not in self._found:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            self._found[key] = self._look_up(
                PROVIDERS.get(catalogue_provider, catalogue_provider), model.lower()
            )
        return self._found[key]

    def dearest(self, catalogue_provider: str) -> Price | None:
        """The dearest known rate of the provider for each kind, marked unpriced."""
        self._turn_the_day()
        provider = PROVIDERS.get(catalogue_provider, catalogue_provider)
        if provider not in self._dearest:
            self._dearest[provider] = self._dearest_of(provider)
        return self._dearest[provider]

    def price(self, catalogue_provider: str, model: str, policy: str) -> Price:
        """The price to book with; `policy` says what an unknown one means (dearest, refuse,
        allow). Raises InvalidRequest."""
        if found := self.find(catalogue_provider, model):
            return found
        if policy == "dearest" and (dearest := self.dearest(catalogue_provider)):
            return replace(dearest, model=model)
        if policy == "allow":
            free: Variants = {BASE: (Tier(-1, Rates()),)}
            return Price(provider=catalogue_provider, model=model, variants=free, unpriced=True)
        raise InvalidRequest(
            f"model: no price is known for {model[:100]!r}; "
            f'set input and output under [models."{model[:100]}"] in modelmuxer.toml'
        )

    def known(self) -> list[Price]:
        """Every price of today, by provider and model; the overridden ones as overridden."""
        rows = [
            Price(provider=p.id, model=m.id, variants=m.on(_today()))
            for p in self._providers.values()
            for m in p.models
        ]
        named = [
            found
            for name, settings in self._overrides.items()
            if (found := self.find(settings.provider, name))
        ]
        covered = {row.model for row in named}
        return named + [row for row in rows if row.model not in covered]

    def _turn_the_day(self) -> None:
        if self._day != (today := _today()):
            self._day = today
            self._found.clear()
            self._dearest.clear()

    def _look_up(self, provider: str, name: str) -> Price | None:
        base = self._base(provider, name)
        override = self._overrides.get(name)
        if override is None or not self._concerns(override, provider):
            return base
        return _overridden(provider, name, base, override)

    def _concerns(self, override: ModelSettings, provider: str) -> bool:
        named = PROVIDERS.get(override.provider, override.provider)
        return not named or not provider or named == provider or named not in self._providers

    def _base(self, provider: str, name: str) -> Price | None:
        first = self._providers.get(provider)
        if first is None:
            return None
        for part in (first, *(self._providers[id] for id in first.fallback)):
            for model in part.models:
                if model.match.holds(name):
                    return Price(provider=provider, model=model.id, variants=model.on(self._day))
        return None

    def _dearest_of(self, provider: str) -> Price | None:
        known = self._providers.get(provider)
        if known is None:
            return None
        tables = [model.on(self._day) for model in known.models]
        standard = [tier.rates for table in tables for tier in table[BASE]]
        anything = [t.rates for table in tables for tiers in table.values() for t in tiers]
        variants: Variants = {BASE: (Tier(-1, _maximum(standard)),)}
        variants |= {name: (Tier(-1, _maximum(anything)),) for name in ("fast", "priority")}
        return Price(provider=provider, model="", variants=variants, unpriced=True)

    def _check(self, name: str) -> None:
        """An override must parse, and must be whole where nothing is known."""
        override = self._overrides[name]
        for kind in KINDS:
            _override_rate(name, kind, getattr(override, kind))
        if not (override.input and override.output) and not any(
            self._base(provider, name) for provider in self._providers
        ):
            raise ConfigError(f'[models."{name}"]: set both input and output, no price is known')


def _today() -> int:
    return datetime.fromtimestamp(time.time(), UTC).toordinal()


def _rated(settings: ModelSettings) -> bool:
    return any(getattr(settings, kind) for kind in KINDS)


def _version(base: str, overrides: Mapping[str, ModelSettings]) -> str:
    if not overrides:
        return base
    text = msgspec.json.encode(sorted(overrides.items()))
    return f"{base}+{hashlib.sha256(text).hexdigest()[:8]}"


def _overridden(provider: str, name: str, base: Price | None, override: ModelSettings) -> Price:
    """A flat price: what is set holds for every size and variant, the rest stays as known."""
    known = base.variants if base else {BASE: (Tier(-1, Rates()),)}
    variants = {
        variant: tuple(Tier(t.above, _override(name, t.rates, override, bool(base))) for t in tiers)
        for variant, tiers in known.items()
    }
    return Price(provider=provider, model=name, variants=variants)


def _override(name: str, rates: Rates, override: ModelSettings, known: bool) -> Rates:
    changes = {
        kind: _override_rate(name, kind, text)
        for kind in KINDS
        if (text := getattr(override, kind))
    }
    if "output" in changes:
        changes["reasoning"] = changes["output"]
    if not known:
        for kind in ("cache_read", "cache_write_5m", "cache_write_1h"):
            changes.setdefault(kind, changes["input"])
    return replace(rates, **changes)


def _override_rate(name: str, kind: str, text: str) -> int:
    try:
        dollars = Decimal(text or "0")
    except InvalidOperation:
        dollars = Decimal(-1)
    if not dollars.is_finite() or not 0 <= dollars <= 1_000_000:
        raise ConfigError(
            f'[models."{name}"] {kind}: {text!r} is no price; write USD per million tokens, "2.50"'
        )
    return int((dollars * MILLION).to_integral_value(ROUND_CEILING))


def _maximum(rates: list[Rates]) -> Rates:
    fields = Rates.__struct_fields__
    return Rates(**{field: max(getattr(rate, field) for rate in rates) for field in fields})


def _cached(folder: Path) -> PriceData:
    path = folder / f"prices-{installed('genai-prices')}-{FORMAT}.json"
    return _read(path) or write_table(path)


def _read(path: Path) -> PriceData | None:
    try:
        data = msgspec.json.decode(path.read_bytes(), type=PriceData)
    except (OSError, msgspec.MsgspecError):
        return None
    return data if data.format == FORMAT else None


def write_table(path: Path) -> PriceData:
    """Compile the table and keep it; whoever reads the file meanwhile sees a whole one."""
    from libs.common.prices_compile import compile_prices

    data = compile_prices(datetime.now(UTC).date())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_bytes(msgspec.json.encode(data))
        os.replace(part, path)
    except OSError as error:
        log.warning("the price table is not kept: %s", error)
    return data

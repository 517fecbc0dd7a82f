"""Compile genai-prices into the integer table that `prices.py` reads.

Only this module imports genai_prices, and only when a table is compiled: it costs 250 ms and
brings pydantic with it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import version
from typing import Any

import msgspec
from genai_prices.data import providers
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    ModelInfo,
    ModelPrice,
    StartDateConstraint,
    TieredPrices,
    TimeOfDateConstraint,
)

from libs.common.prices import (
    BASE,
    BATCH,
    Match,
    Period,
    PriceData,
    PricedModel,
    PricedProvider,
    Rates,
    Tier,
)

# Our name of a variant of a price, by the context genai-prices selects it with. Earlier
# contexts of one name win: `fast` is a speed at Anthropic and a service tier at OpenAI.
VARIANTS: tuple[tuple[str, dict[str, str]], ...] = (
    (BASE, {}),
    (BATCH, {"processing": "batch"}),
    ("fast", {"speed": "fast"}),
    ("fast", {"service_tier": "fast"}),
    ("priority", {"service_tier": "priority"}),
    ("flex", {"service_tier": "flex"}),
)
KINDS: dict[type[Any], tuple[str, str]] = {
    ClauseStartsWith: ("starts", "starts_with"),
    ClauseEndsWith: ("ends", "ends_with"),
    ClauseContains: ("contains", "contains"),
    ClauseRegex: ("regex", "regex"),
    ClauseEquals: ("equals", "equals"),
}
HALF_HOURS = tuple(time(n // 2, 30 * (n % 2)) for n in range(48))


def compile_prices(today: date) -> PriceData:
    """Every price from `today` on, the announced changes of later days included."""
    table = tuple(
        PricedProvider(
            id=provider.id,
            models=tuple(_model(model, today) for model in provider.models),
            fallback=tuple(provider.fallback_model_providers or ()),
        )
        for provider in providers
    )
    digest = hashlib.sha256(msgspec.json.encode(table)).hexdigest()[:8]
    return PriceData(version=f"genai-{version('genai-prices')}-{digest}", providers=table)


def _model(model: ModelInfo, today: date) -> PricedModel:
    days = sorted({today} | {day for day in _changes(model) if day > today})
    periods: list[Period] = []
    for day in days:
        rates = _variants(model, day)
        if not periods or periods[-1].rates != rates:
            start = 0 if day == today else day.toordinal()
            periods.append(Period(start=start, rates=rates))
    return PricedModel(id=model.id, match=_match(model.match), periods=tuple(periods))


def _changes(model: ModelInfo) -> Iterable[date]:
    """The days on which a price of the model starts to apply."""
    prices = [] if isinstance(model.prices, ModelPrice) else model.prices
    for part in (*prices, *(model.price_variants or ())):
        if isinstance(part.constraint, StartDateConstraint):
            yield part.constraint.start_date


def _variants(model: ModelInfo, day: date) -> dict[str, tuple[Tier, ...]]:
    standard = _tiers(model, day, {})
    found = {BASE: standard}
    for name, context in VARIANTS[1:]:
        tiers = _tiers(model, day, context)
        if tiers != standard:
            found.setdefault(name, tiers)
    return found


def _tiers(model: ModelInfo, day: date, context: Mapping[str, str]) -> tuple[Tier, ...]:
    """The tiers on that day; where a price depends on the hour, those of the dearest hour."""
    hours = HALF_HOURS if _hourly(model) else (time(12),)
    moments = [datetime.combine(day, hour, UTC) for hour in hours]
    tables = [_tiers_of(model.get_prices(moment, context)) for moment in moments]
    return max(tables, key=lambda tiers: tiers[-1].rates.input + tiers[-1].rates.output)


def _hourly(model: ModelInfo) -> bool:
    prices = [] if isinstance(model.prices, ModelPrice) else model.prices
    return any(
        isinstance(part.constraint, TimeOfDateConstraint)
        for part in (*prices, *(model.price_variants or ()))
    )


def _tiers_of(price: ModelPrice) -> tuple[Tier, ...]:
    starts = {
        tier.start
        for value in price.__dict__.values()
        if isinstance(value, TieredPrices)
        for tier in value.tiers
    }
    return tuple(Tier(above=start, rates=_rates(price, start)) for start in (-1, *sorted(starts)))


def _rates(price: ModelPrice, above: int) -> Rates:
    """The rates that hold above so many input tokens. A kind without a price of its own costs
    what the kind it belongs to costs, as genai-prices counts it."""

    def rate(name: str, default: int = 0) -> int:
        value = price.__dict__.get(name)
        return default if value is None else _micro(_at(value, above))

    text = rate("input_mtok")
    write = rate("cache_write_mtok", text)
    output = rate("output_mtok")
    return Rates(
        input=text,
        cache_read=rate("cache_read_mtok", text),
        cache_write_5m=write,
        cache_write_1h=rate("cache_write_1h_mtok", write),
        output=output,
        reasoning=rate("output_reasoning_mtok", output),
        web_search=rate("web_searches_kcount") // 1000,
        request=rate("requests_kcount") // 1000,
    )


def _at(value: Decimal | TieredPrices, above: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    found = value.base
    for tier in value.tiers:
        if above >= tier.start:
            found = tier.price
    return found


def _micro(dollars: Decimal) -> int:
    """Micro-dollars, rounded up past the ninth place: what lies beyond is float noise."""
    exact = round(dollars, 9) * 1_000_000
    return int(exact.to_integral_value(ROUND_CEILING))


def _match(clause: Any) -> Match:
    if isinstance(clause, ClauseOr):
        return Match(kind="or", parts=tuple(_match(part) for part in clause.or_))
    if isinstance(clause, ClauseAnd):
        return Match(kind="and", parts=tuple(_match(part) for part in clause.and_))
    kind, field = KINDS[type(clause)]
    text = str(getattr(clause, field))
    return Match(kind=kind, text=text if kind == "regex" else text.lower())

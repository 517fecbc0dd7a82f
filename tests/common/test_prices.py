"""Our whole numbers against the library's own arithmetic."""

import math
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers
from genai_prices.types import ModelInfo, Provider
from hypothesis import given
from hypothesis import strategies as st

from libs.common.contracts.usage import Tokens
from libs.common.errors import InvalidRequest
from libs.common.prices import PriceData, PricedModel, PriceTable
from libs.common.prices_compile import compile_prices
from libs.common.settings.load import ConfigError, load

TODAY = datetime.now(UTC).date()
DATA = compile_prices(TODAY)
TABLE = PriceTable(DATA)
MODELS = [
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-haiku-5-5"),
    ("anthropic", "claude-sonnet-5-5"),
    ("anthropic", "claude-opus-5-5"),
    ("anthropic", "claude-3-5-sonnet-20241022"),
    ("openai", "gpt-6.1-terra"),
    ("openai", "gpt-6-luna"),
    ("openai", "gpt-4o"),
    ("gemini", "gemini-3.1-pro-preview"),
    ("gemini", "gemini-2.5-flash"),
    ("mistral", "mistral-large-4"),
]
COUNTS = st.integers(0, 400_000)
TOKENS = st.builds(
    Tokens,
    input=COUNTS,
    cache_read=COUNTS,
    cache_write_5m=COUNTS,
    cache_write_1h=COUNTS,
    output=COUNTS,
    web_searches=st.integers(0, 20),
)


def theirs(provider: str, model: str) -> tuple[Provider, ModelInfo]:
    name = "google" if provider == "gemini" else provider
    found = next(p for p in providers if p.id == name)
    info = found.find_model(model, all_providers=providers)
    assert info
    return found, info


def bill(provider: str, model: str, tokens: Tokens, **context: str) -> int:
    """Micro-dollars as the library counts them; its `input_tokens` hold the cached ones."""
    found, info = theirs(provider, model)
    writes = tokens.cache_write_5m + tokens.cache_write_1h
    usage = TheirUsage(
        input_tokens=tokens.input + tokens.cache_read + writes,
        cache_read_tokens=tokens.cache_read,
        cache_write_tokens=writes,
        cache_write_1h_tokens=tokens.cache_write_1h,
        output_tokens=tokens.output,
        web_searches=tokens.web_searches,
    )
    total = info.calc_price(usage, found, price_context=context or None).total_price
    return math.ceil((total * 1_000_000).quantize(Decimal("1e-9")))


@pytest.mark.parametrize("provider, model", MODELS)
@given(tokens=TOKENS)
def test_a_cost_is_what_the_library_says_rounded_up(
    provider: str, model: str, tokens: Tokens
) -> None:
    price = TABLE.find(provider, model)
    assert price and price.cost(tokens) == bill(provider, model, tokens)


@pytest.mark.parametrize(
    "provider, model, context, ours",
    [
        ("anthropic", "claude-haiku-4-5", {"processing": "batch"}, {"batch": True}),
        ("anthropic", "claude-haiku-5-5", {"processing": "batch"}, {"batch": True}),
        ("anthropic", "claude-opus-5-5", {"speed": "fast"}, {"speed": "fast"}),
        ("openai", "gpt-6.1-terra", {"service_tier": "priority"}, {"speed": "priority"}),
        ("openai", "gpt-6.1-terra", {"service_tier": "flex"}, {"speed": "flex"}),
        ("gemini", "gemini-3.1-pro-preview", {"processing": "batch"}, {"batch": True}),
    ],
)
@given(tokens=TOKENS)
def test_batches_and_speeds_cost_what_the_library_says(
    provider: str, model: str, context: dict[str, str], ours: dict[str, Any], tokens: Tokens
) -> None:
    price = TABLE.find(provider, model)
    assert price and price.cost(tokens, **ours) == bill(provider, model, tokens, **context)


@pytest.mark.parametrize("provider", ["anthropic", "openai", "google", "mistral", "groq", "x-ai"])
def test_every_model_of_a_provider_costs_what_the_library_says(provider: str) -> None:
    tokens = Tokens(input=150_001, cache_read=99_999, output=7_777)
    for info in next(p for p in providers if p.id == provider).models:
        price = TABLE.find(provider, info.id)
        if price and "output_mtok" in info.get_prices(datetime.now(UTC)).__dict__:
            assert price.cost(tokens) == bill(provider, info.id, tokens), info.id


@given(tokens=TOKENS)
def test_the_worst_case_covers_every_mix_of_the_same_tokens(tokens: Tokens) -> None:
    price = TABLE.find("anthropic", "claude-haiku-5-5")
    assert price
    total = tokens.input + tokens.cache_read + tokens.cache_write_5m + tokens.cache_write_1h
    output = -(-tokens.output * price.output_rate(total) // 1_000_000)
    plain = Tokens(
        input=tokens.input,
        cache_read=tokens.cache_read,
        cache_write_5m=tokens.cache_write_5m,
        cache_write_1h=tokens.cache_write_1h,
        output=tokens.output,
    )
    assert price.cost(plain) <= price.input_worst(total) + output


def test_a_tier_holds_for_all_tokens_above_its_start() -> None:
    price = TABLE.find("anthropic", "claude-haiku-5-5")
    assert price
    assert price.cost(Tokens(input=100_000)) == 10_000
    assert price.cost(Tokens(input=50_000, cache_read=50_001)) == 25_000 + 2_501


def test_a_price_that_changes_on_a_day_changes_on_that_day(monkeypatch: Any) -> None:
    table = PriceTable(compile_prices(date(2026, 11, 22)))
    model = "gemini", "gemini-3.8-flash"

    def on(day: str) -> int:
        at = datetime.fromisoformat(f"{day}T00:00:00+00:00").timestamp()
        monkeypatch.setattr(time, "time", lambda: at)
        price = table.find(*model)
        assert price
        return price.rates(1).input

    assert on("2026-12-31") == 750_000
    assert on("2027-01-01") == 1_500_000
    assert on("2026-12-31") == 750_000


def test_a_model_nobody_prices_costs_the_dearest_of_its_provider() -> None:
    price = TABLE.price("anthropic", "claude-released-yesterday", "dearest")
    assert price.unpriced
    opus = TABLE.find("anthropic", "claude-opus-4")
    assert opus
    assert all(
        getattr(price.rates(1), kind) >= getattr(opus.rates(1), kind)
        for kind in ("input", "output", "cache_read", "cache_write_1h")
    )


def test_a_price_that_cannot_be_known_is_refused_unless_allowed() -> None:
    for provider, policy in ("anthropic", "refuse"), ("my-own", "dearest"):
        with pytest.raises(InvalidRequest, match="^model: no price"):
            TABLE.price(provider, "what", policy)
    free = TABLE.price("my-own", "what", "allow")
    assert free.unpriced and free.cost(Tokens(input=10**6, output=10**6)) == 0


def config(folder: Path, text: str) -> Any:
    file = folder / "modelmuxer.toml"
    file.write_text(text)
    return load(str(file), {"MODELMUXER_DATA_DIR": str(folder / "data")})


def test_an_override_holds_for_what_it_names(tmp_path: Path) -> None:
    text = '[models."claude-opus-5-5"]\ninput = "1.50"\n[models.mine]\ninput = "2"\noutput = "3"\n'
    table = PriceTable.load(config(tmp_path, text))
    opus, mine = table.find("anthropic", "Claude-Opus-5-5"), table.find("local", "mine")
    assert opus and mine
    assert (opus.rates(1).input, opus.rates(1).output) == (1_500_000, 20_000_000)
    assert (mine.rates(1).input, mine.rates(1).cache_write_1h) == (2_000_000, 2_000_000)
    assert table.version != PriceTable.load(config(tmp_path, "")).version


@pytest.mark.parametrize(
    "text, names",
    [
        ('[models.mine]\ninput = "2"\n', "both input and output"),
        ('[models.mine]\ninput = "-2"\noutput = "1"\n', "input"),
        ('[models.mine]\ninput = "2"\noutput = "much"\n', "output"),
        ('[models.mine]\ninput = "NaN"\noutput = "1"\n', "input"),
    ],
)
def test_a_bad_override_is_named(tmp_path: Path, text: str, names: str) -> None:
    with pytest.raises(ConfigError, match=names):
        PriceTable.load(config(tmp_path, text))


def test_a_compiled_table_is_kept_and_a_broken_file_replaced(tmp_path: Path) -> None:
    loaded = config(tmp_path, "")
    version = PriceTable.load(loaded).version
    (file,) = (tmp_path / "data" / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    assert PriceTable.load(loaded).version == version
    assert file.stat().st_size > 100_000


def test_a_baked_table_needs_no_folder_and_must_fit(tmp_path: Path) -> None:
    PriceTable.load(config(tmp_path, ""))
    (file,) = (tmp_path / "data" / "cache").iterdir()
    environ = {"MODELMUXER_PRICES_FILE": str(file), "MODELMUXER_DATA_DIR": str(tmp_path / "none")}
    assert PriceTable.load(load(environ=environ)).version == TABLE.version
    assert not (tmp_path / "none").exists()
    file.write_text("[]")
    with pytest.raises(ConfigError, match="MODELMUXER_PRICES_FILE"):
        PriceTable.load(load(environ=environ))


def test_invented_names_do_not_fill_the_memory() -> None:
    table = PriceTable(PriceData(version="v", providers=DATA.providers))
    for number in range(10_000):
        table.find("anthropic", f"claude-{number}-{'x' * 200}")
    assert len(table._found) <= 4096


def test_the_first_period_holds_for_every_day_before() -> None:
    changing = [m for p in DATA.providers for m in p.models if len(m.periods) > 1]
    assert changing
    model: PricedModel = changing[0]
    assert model.on(1) == model.periods[0].rates

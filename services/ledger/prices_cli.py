"""`modelmuxer prices`: what models cost, whether all of ours have a price, and overrides."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from libs.common.catalogue import Catalogue
from libs.common.errors import InvalidRequest, MuxError
from libs.common.money import usd
from libs.common.prices import Price, PriceTable, write_table
from libs.common.settings.load import ConfigError, Loaded, load
from libs.common.tables import Column, figure, table

app = typer.Typer(help="What models cost.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
ConfigFile = Annotated[str | None, typer.Option("--config", help="The settings file.")]
PROVIDERS = ("anthropic", "openai", "gemini", "mistral")
KINDS = ("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "web_search")
# What goes first where there is too little room.
SPARE = {"web_search": 4, "cache_write_1h": 3, "cache_write_5m": 2, "cache_read": 1}
RATES = (
    Column("model", least=20),
    Column("", least=8),
    *(figure(kind.removeprefix("web_"), SPARE.get(kind, 0)) for kind in KINDS),
)
MODELS = (Column("provider"), Column("model", least=20), Column("price", least=20))


@app.command("list")
def list_prices(
    provider: Annotated[str, typer.Option(help="Of one provider.")] = "",
    model: Annotated[str, typer.Option(help="Whose name holds this text.")] = "",
    as_json: AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Prices of today in USD per million tokens; a tier per line.

    Example: modelmuxer prices list --provider anthropic --model haiku
    """
    prices = PriceTable.load(load(config))
    known = [p for p in prices.known() if provider in ("", p.provider) and model in p.model]
    if as_json:
        return _json({"version": prices.version, "prices": [_plain(price) for price in known]})
    _say(f"version {prices.version}; USD per million tokens, searches each")
    _say(table(RATES, [row for price in known for row in _tiers(price)]))


@app.command("check")
def check(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Every model that can be routed to, and what it is booked at if nobody knows its price.

    Example: modelmuxer prices check
    """
    loaded = load(config)
    prices, catalogue = PriceTable.load(loaded), Catalogue.load(loaded.settings)
    rows = []
    for provider in PROVIDERS:
        for model in sorted({*catalogue.pool(provider).values()}):
            rows.append((provider, model, _standing(prices, provider, model, loaded)))
    bad = [row for row in rows if row[2] != "priced"]
    if as_json:
        _json({"version": prices.version, "models": [list(row) for row in rows]})
    else:
        _say(f"version {prices.version}")
        _say(table(MODELS, rows))
    raise typer.Exit(1 if bad else 0)


@app.command("override")
def override(
    model: str,
    input: Annotated[str, typer.Option(help="USD per million input tokens.")],
    output: Annotated[str, typer.Option(help="USD per million output tokens.")],
    provider: Annotated[str, typer.Option(help="Only at this provider.")] = "",
    config: ConfigFile = None,
) -> None:
    """Set the price of a model in modelmuxer.toml; services take it at their next start.

    Example: modelmuxer prices override my-model --input 0.50 --output 1.50
    """
    path = Path(config or "modelmuxer.toml")
    before = path.read_text() if path.exists() else ""
    if model in load(config if path.exists() else None).settings.models:
        raise InvalidRequest(f'{path}: [models."{model}"] is there already; edit it in place')
    lines = [f"[models.{json.dumps(model)}]"]
    lines += [f"provider = {json.dumps(provider)}"] if provider else []
    lines += [f"input = {json.dumps(input)}", f"output = {json.dumps(output)}", ""]
    gap = "\n" if before and not before.endswith("\n\n") else ""
    path.write_text(before + gap + "\n".join(lines))
    try:
        PriceTable.load(load(str(path)))
    except (ConfigError, MuxError):
        path.write_text(before)
        raise
    _say(f"{path}: {model} costs ${input} in and ${output} out per million tokens")


@app.command("bake")
def bake(file: Path) -> None:
    """Compile the price table into a file, for images (MODELMUXER_PRICES_FILE names it).

    Example: modelmuxer prices bake /opt/modelmuxer/prices.json
    """
    data = write_table(file)
    if not file.is_file():
        raise InvalidRequest(f"{file} could not be written")
    _say(f"{file}: version {data.version}")


def _tiers(price: Price) -> Iterator[list[str]]:
    """A row for each tier of each variant."""
    for name, tiers in price.variants.items():
        for tier in tiers:
            above = f"above {tier.above}" if tier.above > 0 else ""
            rates = [_dollars(getattr(tier.rates, kind)) for kind in KINDS]
            yield [f"{price.provider}/{price.model}", f"{name} {above}".strip(), *rates]


def _standing(prices: PriceTable, provider: str, model: str, loaded: Loaded) -> str:
    try:
        price = prices.price(provider, model, loaded.settings.routing.unpriced)
    except InvalidRequest:
        return "refused: nobody knows its price"
    return "unpriced: booked at the dearest of its provider" if price.unpriced else "priced"


def _plain(price: Price) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(price)
    return found


def _dollars(micro: int) -> str:
    text = usd(micro).rstrip("0").rstrip(".")
    return text if micro else "-"


def _json(answer: dict[str, Any]) -> None:
    _say(json.dumps(answer, indent=2))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")

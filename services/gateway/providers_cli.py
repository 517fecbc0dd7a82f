"""`modelmuxer providers test`: one token from each provider, and what is wrong in words."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from libs.common.catalogue import Catalogue
from libs.common.settings.load import ConfigError, Loaded, load
from services.gateway.auth import bootstrap_keys, is_own
from services.gateway.deployments import Finder, Target
from services.gateway.probe import Finding, not_live, probe
from services.gateway.simulator import Simulator
from services.gateway.upstream import open_upstreams

app = typer.Typer(no_args_is_help=True)


@app.callback()
def describe() -> None:
    """Providers of models: whether they answer."""


@app.command()
def test(
    names: Annotated[list[str] | None, typer.Argument(help="Only these providers.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for each.")] = 20.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Ask each provider, with each of its keys, for one token; names each fault and its fix.

    Costs less than a cent. The gateway need not run. Exit code 0 if every provider answered,
    1 if one did not or none is configured.

    Example: modelmuxer providers test anthropic openai
    """
    loaded = load(str(config) if config else None)
    findings = asyncio.run(findings_of(loaded, set(names or ()), timeout))
    good = bool(findings) and all(found.what == "ok" for found in findings)
    if as_json:
        report = {"ok": good, "providers": msgspec.to_builtins(findings)}
        sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    else:
        _print(findings)
    raise typer.Exit(0 if good else 1)


async def findings_of(loaded: Loaded, names: set[str], seconds: float) -> list[Finding]:
    """What is wrong with the settings, then what each live deployment answered. Raises
    ConfigError for a name that is not configured."""
    providers = loaded.settings.providers
    if unknown := sorted(names - set(providers)):
        known = ", ".join(providers) or "none"
        raise ConfigError(f"{unknown[0]}: no such provider is configured; there are: {known}")
    keys = bootstrap_keys(loaded)
    finder = Finder(loaded.environment, loaded.settings.gateway, lambda key: is_own(key, keys))
    targets: list[Target] = []
    for name, entry in providers.items():
        if not names or name in names:
            targets += finder.targets(name, entry)
    catalogue = Catalogue.load(loaded.settings)
    gateway = loaded.settings.gateway
    async with open_upstreams(gateway, Simulator(), loaded.environment) as upstreams:
        asked = (probe(upstreams, target, catalogue, seconds) for target in targets)
        return [*map(not_live, finder.faults), *await asyncio.gather(*asked)]


def _print(findings: list[Finding]) -> None:
    if not findings:
        sys.stdout.write(
            "no provider is configured, so the simulator answers; "
            "put ANTHROPIC_API_KEY=… into .env, or see docs/providers.md\n"
        )
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for found in findings:
        mark = "[green]✓[/]" if found.what == "ok" else "[red]✗[/]"
        took = f" [dim]{found.seconds:.1f} s[/]" if found.what == "ok" else ""
        table.add_row(mark, found.deployment or found.provider, escape(found.reason) + took)
        if found.fix:
            table.add_row("", "", f"→ {escape(found.fix)}")
    Console(soft_wrap=False).print(table)

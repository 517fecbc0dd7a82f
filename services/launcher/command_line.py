"""Every command but the services themselves: a typer application whose parts load on demand.

Only the part that the first word names is imported; the others are known by name and help.
"""

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from typing import Annotated, Any

import typer
from msgspec import Struct

from libs.common.settings import Settings
from libs.common.settings.load import ConfigError, load
from services.launcher.place import running_stores

HELP = """Mask, route, budget, stream and book every request of your Claude tools.

Start everything with [bold]modelmuxer up[/bold], then:
ANTHROPIC_BASE_URL=http://localhost:8000 claude"""

# Commands that speak to the bus.
ON_THE_BUS = ("gateway", "router", "pii", "ledger", "analytics", "data")
RUN, MONEY, SET_UP = "Run", "Money and keys", "Set up"


class Part(Struct, frozen=True):
    """Where a command lives. A `merged` module offers several top-level commands."""

    module: str
    attribute: str
    panel: str
    help: str
    merged: bool = False


_REPORTS = ("services.analytics.report_cli", "app", MONEY)
_CONNECT = ("services.cli.connect", "app", SET_UP)
PARTS = {
    "up": Part("services.launcher.up_cli", "app", RUN, "Start everything on this machine.", True),
    "gateway": Part("services.launcher.service_cli", "gateway", RUN, "Run the gateway."),
    "router": Part("services.router.cli", "app", RUN, "Run the router, or ask it why."),
    "pii": Part("services.pii.cli", "app", RUN, "Run pii, or scan a text."),
    "ledger": Part("services.ledger.cli", "app", RUN, "Run the ledger, or look into it."),
    "analytics": Part("services.analytics.cli", "app", RUN, "Run analytics, or look into it."),
    "config": Part("services.launcher.config_cli", "app", SET_UP, "Check and show the settings."),
    "init": Part("services.cli.init", "app", SET_UP, "Write modelmuxer.toml.", True),
    "connect": Part(*_CONNECT, "Point a client (Claude Code, Cline, …) here.", True),
    "disconnect": Part(*_CONNECT, "Put a client's settings back.", True),
    "statusline": Part(*_CONNECT, "The line under Claude Code.", True),
    "doctor": Part("services.cli.doctor", "app", SET_UP, "Check the gateway as a client.", True),
    "providers": Part("services.gateway.providers_cli", "app", SET_UP, "Do the providers answer?"),
    "data": Part("services.launcher.data_cli", "app", SET_UP, "What is stored, and whose it is."),
    "keys": Part("services.ledger.admin_cli", "keys_app", MONEY, "API keys."),
    "budgets": Part("services.ledger.admin_cli", "budgets_app", MONEY, "Budgets."),
    "limits": Part("services.ledger.admin_cli", "limits_app", MONEY, "Rate limits."),
    "prices": Part("services.ledger.prices_cli", "app", MONEY, "What models cost."),
    "costs": Part(*_REPORTS, "What was spent.", True),
    "savings": Part(*_REPORTS, "What routing saved.", True),
    "requests": Part(*_REPORTS, "The last requests.", True),
    "top": Part(*_REPORTS, "Live view of requests.", True),
    "audit": Part(*_REPORTS, "Who changed what.", True),
}


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code."""
    first = next((word for word in arguments if not word.startswith("-")), "")
    if first in ON_THE_BUS:
        _join(_settings(arguments))
    app = build(first or _completed_word())
    try:
        app(list(arguments), prog_name="modelmuxer")
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(bool(leave.code))
    return 0


def _join(settings: Settings | None) -> None:
    """Lead a command to the stores of the `modelmuxer up` that runs here, if one does."""
    if settings and not settings.nats_url:
        for name, value in running_stores(settings.data).items():
            os.environ.setdefault(name, value)


def _settings(arguments: Sequence[str]) -> Settings | None:
    """The settings, or None if they are wrong: the command itself will say so, if it needs any."""
    words = [word.partition("=") for word in arguments]
    given = [value for option, _, value in words if option == "--config" and value]
    given += [after for word, after in pairwise(arguments) if word == "--config"]
    try:
        return load(given[0] if given else None).settings
    except ConfigError:
        return None


def build(first: str) -> typer.Typer:
    """The application, with the part that the word `first` names really loaded."""
    app = typer.Typer(
        help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    app.callback()(_root)
    wanted = PARTS.get(first)
    for name, part in PARTS.items():
        if not (wanted and wanted.module == part.module and wanted.attribute == part.attribute):
            app.command(name, help=part.help, rich_help_panel=part.panel)(_not_loaded)
    if wanted:
        real: typer.Typer = getattr(importlib.import_module(wanted.module), wanted.attribute)
        group = None if wanted.merged else first
        app.add_typer(real, name=group, help=wanted.help, rich_help_panel=wanted.panel)
    return app


def _not_loaded() -> None:
    """Stands for a command in the list of commands."""


def _completed_word() -> str:
    """The command whose completion the shell asks for, if it does."""
    typed = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    try:
        words = shlex.split(typed)
    except ValueError:
        words = typed.split()
    return words[1] if len(words) > 1 else ""


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"modelmuxer {_version()}\n")
        raise typer.Exit


def _version() -> str:
    try:
        return version("modelmuxer")
    except PackageNotFoundError:
        return "0 (not installed)"


def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print it.")
    ] = False,
) -> Any:
    pass

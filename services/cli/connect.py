"""`modelmuxer connect CLIENT` and `disconnect CLIENT`: one command each to set up and undo."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli import statusline
from services.cli.clients import Scope, Wish
from services.cli.connecting import (
    Plan,
    bare_url,
    connect,
    disconnect,
    plan_connect,
    plan_disconnect,
)
from services.cli.edits import CannotEdit
from services.cli.shells import set_lines, unset_lines

DEFAULT_URL = "http://localhost:8000"
DEVELOPMENT_KEY = "sk-test-claude-dev"

app = typer.Typer()
Client = Annotated[
    Literal["claude", "cline", "opencode", "aider", "continue"], typer.Argument(help="Which.")
]
ScopeOption = Annotated[Scope, typer.Option(help="For you everywhere, or for this folder.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the difference; change nothing.")]
Print = Annotated[
    Literal["bash", "zsh", "fish", "powershell"] | None,
    typer.Option("--print", help="Lines for a shell; change nothing."),
]


@app.command("connect", rich_help_panel="Set up")
def connect_command(
    client: Client,
    url: Annotated[str, typer.Option(envvar="MODELMUXER_URL", help="The gateway.")] = DEFAULT_URL,
    key: Annotated[str, typer.Option(envvar="MODELMUXER_KEY", help="Your key.")] = DEVELOPMENT_KEY,
    scope: ScopeOption = "user",
    model: Annotated[str, typer.Option(help="Model to start with.")] = "",
    status_line: Annotated[
        bool, typer.Option("--status-line", help="Claude Code: show model, cost, budget.")
    ] = False,
    discover_models: Annotated[
        bool, typer.Option("--discover-models", help="Claude Code: list our models in /model.")
    ] = False,
    dry_run: DryRun = False,
    print_for: Print = None,
) -> None:
    """Point a client at ModelMuxer; whatever else its settings hold stays.

    Example: modelmuxer connect claude --status-line
    Example: eval "$(modelmuxer connect claude --print bash)"
    """
    if bare_url(url) != url.rstrip("/"):
        _say(f"the address is used without /v1: {bare_url(url)}")
    url = bare_url(url)
    _check(url, key)
    if print_for:
        sys.stdout.write(set_lines(print_for, url, key))
        return
    wish = Wish(
        url=url,
        key=key,
        model=model,
        status_line=status_line_command() if status_line else "",
        discover=discover_models,
    )
    plan = _planned(lambda: plan_connect(client, wish, scope))
    assert plan
    if dry_run:
        sys.stdout.write(plan.diff() or f"{plan.file}: nothing to change\n")
        return
    connect(plan)
    _say(f"{client} now speaks to {url} ({plan.file})")
    for note in notes(client, url, plan):
        _say(note)
    _say(f"undo: modelmuxer disconnect {client}{_scope_option(scope)}; check: modelmuxer doctor")


@app.command("disconnect", rich_help_panel="Set up")
def disconnect_command(
    client: Client, scope: ScopeOption = "user", dry_run: DryRun = False, print_for: Print = None
) -> None:
    """Put a client's settings back as they were.

    Example: modelmuxer disconnect claude
    """
    if print_for:
        sys.stdout.write(unset_lines(print_for))
        return
    plan = _planned(lambda: plan_disconnect(client, scope))
    if plan is None:
        _say(f"{client} is not connected here; nothing to undo")
        return
    if dry_run:
        sys.stdout.write(plan.diff() or f"{plan.file}: nothing to change\n")
        return
    exactly = disconnect(plan)
    was = "as it was" if plan.after is not None else "gone, as before"
    _say(f"{plan.file}: {was if exactly else 'ours is out; what changed since stays'}")


@app.command("statusline", rich_help_panel="Set up", add_help_option=False)
def statusline_command() -> None:
    """The line under Claude Code; it reads what Claude Code writes to it.

    Example: modelmuxer connect claude --status-line
    """
    raise typer.Exit(statusline.main([]))


def notes(client: str, url: str, plan: Plan) -> list[str]:
    """What else has a say in where Claude Code goes, and with which key."""
    if client != "claude":
        return []
    found = []
    if (other := os.environ.get("ANTHROPIC_BASE_URL")) and bare_url(other) != url:
        found.append(f"note: ANTHROPIC_BASE_URL={other} is exported here; the settings win")
    settings = json.loads(plan.after or b"{}")
    if os.environ.get("ANTHROPIC_API_KEY") or settings["env"].get("ANTHROPIC_API_KEY"):
        found.append("note: ANTHROPIC_API_KEY is set too; Claude Code sends both keys")
    if "apiKeyHelper" in settings:
        found.append("note: `apiKeyHelper` in the settings provides a key of its own")
    return found


def status_line_command() -> str:
    """The line as a script of its own: isolated and without site-packages Python starts in half
    the time, and no PATH matters."""
    return _quoted([sys.executable, "-I", "-S", str(Path(statusline.__file__).resolve())])


def _quoted(words: list[str]) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def _check(url: str, key: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{url!r} is no address such as {DEFAULT_URL}")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise typer.BadParameter("the key must be printable and without spaces")


def _planned(make: Callable[[], Plan | None]) -> Plan | None:
    try:
        return make()
    except CannotEdit as error:
        sys.stderr.write(f"modelmuxer: {error}\n")
        raise typer.Exit(1) from None
    except OSError as error:
        sys.stderr.write(f"modelmuxer: {error.filename}: {error.strerror}\n")
        raise typer.Exit(1) from None


def _scope_option(scope: Scope) -> str:
    return "" if scope == "user" else f" --scope {scope}"


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")

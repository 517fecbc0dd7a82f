"""`modelmuxer doctor`: is everything between this client and the gateway as it must be?"""

import json
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import msgspec
import typer

from services.cli import checks
from services.cli.connect import DEFAULT_URL, DEVELOPMENT_KEY
from services.cli.wire import Gateway

app = typer.Typer()
MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "–"}
COLOURS = {"ok": 32, "warning": 33, "failed": 31, "skipped": 90}
URL_NAMES = ("MODELMUXER_URL", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_URL")
KEY_NAMES = ("MODELMUXER_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY")


@app.command(rich_help_panel="Set up")
def doctor(
    url: Annotated[str, typer.Option(help="The gateway; else ANTHROPIC_BASE_URL.")] = "",
    key: Annotated[str, typer.Option(help="The key; else ANTHROPIC_AUTH_TOKEN or _API_KEY.")] = "",
    model: Annotated[str, typer.Option(help="Ask for this model.")] = "",
    free: Annotated[bool, typer.Option("--free", help="Ask no model: costs nothing.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check the gateway as a client would; names each fault and its fix.

    Asks models three short questions, together far below a cent. Exit code 0 if nothing
    failed, 1 if something did.

    Example: modelmuxer doctor --url http://localhost:8000 --key sk-test-claude-dev
    """
    gateway = Gateway(
        url or first(URL_NAMES, DEFAULT_URL), key or first(KEY_NAMES, DEVELOPMENT_KEY), timeout
    )
    if not gateway.url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"{gateway.url!r} is no address such as {DEFAULT_URL}")
    visit = checks.Visit(
        gateway=gateway, model=model, free=free, environment=os.environ, own_version=own_version()
    )
    found = []
    for finding in checks.run(visit):
        found.append(finding)
        if not as_json:
            sys.stdout.write(shown(finding))
    bad = [finding.check for finding in found if finding.state == "failed"]
    if as_json:
        report = {"url": gateway.url, "ok": not bad, "checks": msgspec.to_builtins(found)}
        sys.stdout.write(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"\n{'all is well' if not bad else 'to mend: ' + ', '.join(bad)}\n")
    raise typer.Exit(1 if bad else 0)


def shown(finding: checks.Finding) -> str:
    mark = MARKS[finding.state]
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        mark = f"\x1b[{COLOURS[finding.state]}m{mark}\x1b[0m"
    line = f"{mark} {finding.check:<13} {finding.reason}\n"
    return line + (f"  {'':<13} → {finding.fix}\n" if finding.fix else "")


def first(names: tuple[str, ...], default: str) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), default)


def own_version() -> str:
    try:
        return version("modelmuxer")
    except PackageNotFoundError:
        return "0"

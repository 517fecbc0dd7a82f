"""`modelmuxer init`: three questions, then a modelmuxer.toml that works."""

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from msgspec import Struct

from libs.common.settings.load import PROVIDER_KEYS, load, read_dotenv
from services.cli import record

app = typer.Typer()
KEY_NAME = "CLIENT_KEY"
Mode = Literal["auto", "within-family", "respect"]
Reach = Literal["machine", "network"]
MODES = {
    "auto": "any model that is good enough, the cheapest first",
    "within-family": "a cheaper model of the provider that was asked",
    "respect": "the model that was asked",
}


class Wishes(Struct, frozen=True, kw_only=True):
    providers: tuple[str, ...]
    routing: str
    reach: str
    port: int


@app.command("init", rich_help_panel="Set up")
def init(
    file: Annotated[Path, typer.Option(help="Where to write.")] = Path("modelmuxer.toml"),
    providers: Annotated[
        str | None, typer.Option(help="Comma-separated: anthropic, openai, gemini, mistral, none.")
    ] = None,
    routing: Annotated[Mode | None, typer.Option(help="How requests may be routed.")] = None,
    reach: Annotated[Reach | None, typer.Option(help="Who may connect.")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write a modelmuxer.toml after three questions.

    Example: modelmuxer init --providers anthropic,openai --routing auto --reach machine
    """
    if file.exists() and not force:
        _say(f"{file} exists already; --force replaces it, --file writes another")
        raise typer.Exit(1)
    dotenv = file.parent / ".env"
    environment = {**read_dotenv(dotenv), **os.environ}
    found = [name for name in PROVIDER_KEYS if variable(name, environment)]
    wishes = Wishes(
        providers=_names(_asked_providers(providers, found, yes)),
        routing=routing or _ask("2. How may requests be routed", MODES, "auto", yes),
        reach=reach or _ask("3. Who may connect", REACHES, "machine", yes),
        port=port,
    )
    _write(file, toml(wishes, environment), 0o644)
    made = wishes.reach == "network" and not environment.get(KEY_NAME)
    if made:
        _add_key(dotenv)
    load(str(file))
    for line in next_steps(file, wishes, environment, dotenv if made else None):
        _say(line)


REACHES = {
    "machine": "only this machine; the well-known development key is enough",
    "network": "other machines too; a key of your own is made",
}


def variable(provider: str, environment: dict[str, str]) -> str:
    """The variable that holds a provider's key; empty if none does. Users export a key of ours
    as ANTHROPIC_API_KEY too, which is none."""
    for name in PROVIDER_KEYS[provider]:
        value = environment.get(name, "")
        if value and not value.startswith(("sk-test-claude-dev", "sk-mm-")):
            return name
    return ""


def toml(wishes: Wishes, environment: dict[str, str]) -> str:
    """The file. A provider whose key is nowhere yet is only mentioned, so that the file works."""
    host = "0.0.0.0" if wishes.reach == "network" else "127.0.0.1"
    parts = [
        "# All settings: docs/configuration.md; `modelmuxer config show` tells what counts.",
        f'[gateway]\nhost = "{host}"\nport = {wishes.port}',
    ]
    for provider in wishes.providers:
        if name := variable(provider, environment):
            parts.append(f'[providers.{provider}]\napi_key = "env:{name}"')
        else:
            name = PROVIDER_KEYS[provider][0]
            parts.append(f"# {provider} is live as soon as {name} stands in .env")
    if wishes.reach == "network":
        parts.append(
            f'[keys.me]\nkey = "env:{KEY_NAME}"\nrouting = "{wishes.routing}"\nadmin = true'
        )
    elif wishes.routing != "auto":
        parts.append(
            "# The development key, which everybody knows: fine as long as only this machine\n"
            f'# can connect.\n[keys.me]\nkey = "sk-test-claude-dev"\nrouting = "{wishes.routing}"\n'
            "admin = true"
        )
    return "\n\n".join(parts) + "\n"


def next_steps(
    file: Path, wishes: Wishes, environment: dict[str, str], dotenv: Path | None
) -> list[str]:
    lines = [f"{file} is written"]
    if dotenv:
        lines.append(f"{dotenv}: {KEY_NAME} is the key for your clients")
    for provider in wishes.providers:
        if not variable(provider, environment):
            name = PROVIDER_KEYS[provider][0]
            lines.append(f"put {name}=… into .env; until then {provider} is not used")
    config = "" if file.name == "modelmuxer.toml" else f" --config {file}"
    lines.append(f"next: modelmuxer up{config}, then: modelmuxer connect claude")
    return lines


def _asked_providers(given: str | None, found: list[str], yes: bool) -> str:
    if given is not None or yes:
        return ",".join(found) if given is None else given
    known = ", ".join(PROVIDER_KEYS)
    said = f"keys found: {', '.join(found)}" if found else "no key found; the simulator answers"
    question = f"1. Which providers ({known}; {said})"
    answer: str = typer.prompt(question, default=",".join(found) or "none")
    return answer


def _names(text: str) -> tuple[str, ...]:
    names = tuple(n for part in text.split(",") if (n := part.strip()) and n != "none")
    for name in names:
        if name not in PROVIDER_KEYS:
            known = ", ".join(PROVIDER_KEYS)
            raise typer.BadParameter(f"providers: {name!r} is none of {known}; others by hand")
    return names


def _ask(question: str, choices: dict[str, str], default: str, yes: bool) -> str:
    if yes:
        return default
    for name, meaning in choices.items():
        _say(f"   {name:<14} {meaning}")
    while True:
        answer: str = typer.prompt(question, default=default)
        if answer in choices:
            return answer
        _say(f"   {answer!r}: answer one of {', '.join(choices)}")


def _add_key(dotenv: Path) -> None:
    old = dotenv.read_bytes() if dotenv.exists() else b""
    gap = b"" if not old or old.endswith(b"\n") else b"\n"
    line = f"{KEY_NAME}=sk-mm-{secrets.token_urlsafe(24)}\n".encode()
    record.write(dotenv, old + gap + line, 0o600)


def _write(file: Path, text: str, mode: int) -> None:
    try:
        record.write(file, text.encode(), mode)
    except OSError as error:
        _say(f"modelmuxer: {file}: {error.strerror}")
        raise typer.Exit(1) from None


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")

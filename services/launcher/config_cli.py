"""`modelmuxer config check|show`: what is set, from where, and whether it can work."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from libs.common.settings.load import Loaded, load
from libs.common.tables import Column, table
from services.launcher.faults import LOCATION, faults_of, leaves

app = typer.Typer(no_args_is_help=True)

SECRET_NAMES = {"api_key", "api_keys", "key", "secret", "password"}
USER_INFO = re.compile(r"//[^/@]*@")
COLUMNS = ("setting", "value", "source")
HIDDEN = "•••"

ConfigFile = Annotated[Path | None, typer.Option(help="Settings file.")]


@app.command()
def show(
    config: ConfigFile = None,
    changed: Annotated[bool, typer.Option(help="Only what differs from the defaults.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Print every setting with its value and its source. Secrets stay hidden.

    Example: modelmuxer config show --changed
    """
    loaded = load(str(config) if config else None)
    rows = [row for row in rows_of(loaded) if not changed or row[2] != "default"]
    if as_json:
        sys.stdout.write(json.dumps([dict(zip(COLUMNS, r, strict=True)) for r in rows]) + "\n")
        return
    columns = [Column(COLUMNS[0]), *(Column(name, least=12) for name in COLUMNS[1:])]
    sys.stdout.write(table(columns, rows) + "\n")


@app.command()
def check(config: ConfigFile = None) -> None:
    """Say whether the settings are complete; exit code 78 if they are not.

    Example: modelmuxer config check --config modelmuxer.toml
    """
    loaded = load(str(config) if config else None)
    faults = list(faults_of(loaded))
    for fault in faults:
        sys.stderr.write(f"modelmuxer: {fault}\n")
    if faults:
        raise typer.Exit(78)
    sys.stdout.write(f"{loaded.file or 'the defaults'}: fine\n")


def rows_of(loaded: Loaded) -> Iterator[tuple[str, str, str]]:
    """(dotted path, value as text, source) of each setting, in the order of the sections."""
    for path, value in leaves(loaded.settings):
        yield path, _shown(path, value), _source(path, loaded)


def _shown(path: str, value: Any) -> str:
    name = path.rpartition(".")[2]
    if value and (name in SECRET_NAMES or ".headers." in path):
        return ", ".join(_hidden(v) for v in (value if isinstance(value, list) else [value]))
    text = value if isinstance(value, str) else json.dumps(msgspec.to_builtins(value))
    return USER_INFO.sub(f"//{HIDDEN}@", text) or '""'


def _hidden(value: str) -> str:
    return value if LOCATION.match(value) else HIDDEN


def _source(path: str, loaded: Loaded) -> str:
    found = loaded.sources
    return next((found[p] for p in (path, path.partition(".")[0]) if p in found), "default")

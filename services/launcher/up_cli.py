"""`modelmuxer up`: options, then `up.py`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from libs.common.settings.load import ConfigError, load
from services.launcher.up import run_up

app = typer.Typer()


def _port(value: int) -> int:
    if not 0 <= value < 65_536:
        raise ConfigError(f"--port {value}: ports go from 1 to 65535")
    return value


Port = Annotated[
    int, typer.Option(help="Port of the gateway (8000).", show_default=False, callback=_port)
]


@app.command(rich_help_panel="Run")
def up(
    config: Annotated[Path | None, typer.Option(help="Settings file.")] = None,
    port: Port = 0,
    host: Annotated[str, typer.Option(help="Address (127.0.0.1).", show_default=False)] = "",
    data_dir: Annotated[Path | None, typer.Option(help="State (./.modelmuxer).")] = None,
    workers: Annotated[int, typer.Option(help="Gateway processes (1).", show_default=False)] = 0,
) -> None:
    """Start everything on this machine: stores, five services, one URL.

    Example: modelmuxer up --port 8080 --data-dir ~/.modelmuxer
    """
    given = {
        "MODELMUXER_CONFIG": config and config.absolute(),
        "MODELMUXER_GATEWAY__PORT": port,
        "MODELMUXER_GATEWAY__HOST": host,
        "MODELMUXER_DATA_DIR": data_dir and data_dir.absolute(),
        "MODELMUXER_GATEWAY__WORKERS": workers,
    }
    # The children read the same environment, so an option reaches all of them.
    os.environ.update({name: str(value) for name, value in given.items() if value})
    raise typer.Exit(run_up(load()))

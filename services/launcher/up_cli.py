"""`modelmuxer up`: options, then `up.py`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from libs.common.settings.load import load
from services.launcher.up import run_up

app = typer.Typer()


@app.command(rich_help_panel="Run")
def up(
    config: Annotated[Path | None, typer.Option(help="Settings file.")] = None,
    port: Annotated[int, typer.Option(help="Port of the gateway (8000).", show_default=False)] = 0,
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

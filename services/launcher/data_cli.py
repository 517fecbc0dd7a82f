"""`modelmuxer data export|delete`: one person's records, under a name that people look for."""

import importlib

import typer

app = typer.Typer(no_args_is_help=True)

# By name: the launcher imports no service.
_analytics = importlib.import_module("services.analytics.cli")
app.command("export")(_analytics.export)
app.command("delete")(_analytics.delete)

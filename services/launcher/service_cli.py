"""`modelmuxer gateway --help`. The service itself is started by `services/__main__.py`."""

import typer

gateway = typer.Typer(
    help="Run the gateway in the foreground: "
    "modelmuxer gateway [--config FILE] [--host H] [--port N] [--workers N].\n\n"
    "Example: MODELMUXER_NATS_URL=nats://bus:4222 modelmuxer gateway --workers 4",
    invoke_without_command=True,
)


@gateway.callback()
def describe() -> None:
    pass

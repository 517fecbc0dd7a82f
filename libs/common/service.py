"""Run one service: connect, open it, wait for SIGTERM, finish what is in hand."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from libs.common.bus import Bus
from libs.common.errors import MuxError
from libs.common.probe import serve_probe
from libs.common.settings.load import Loaded
from libs.common.telemetry import set_up_logging

log = logging.getLogger(__name__)
Open = Callable[[Bus, Loaded], AbstractAsyncContextManager[None]]

# A service that cannot start says why in one line and leaves with this code (sysexits EX_CONFIG).
CANNOT_START = 78


async def run(name: str, open_service: Open, loaded: Loaded) -> None:
    """Open the service and keep it open until SIGTERM or SIGINT. Its own exit drains it."""
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    settings = loaded.settings
    nats = settings.nats
    if settings.nats_url:
        nats = msgspec.structs.replace(nats, url=settings.nats_url)
    bus = await Bus.connect(nats, name)
    try:
        # The probe comes last and leaves first: it answers only while the service does.
        async with open_service(bus, loaded), serve_probe(name, bus, settings):
            log.info("%s is ready", name)
            await stop.wait()
            log.info("%s is draining", name)
            await bus.stop_serving()
    finally:
        await bus.close()


def run_forever(name: str, open_service: Open, loaded: Loaded) -> int:
    """The body of `modelmuxer <service>`; returns the exit code."""
    set_up_logging(name, loaded.settings)
    runner: Callable[..., None] = _uvloop_run()
    try:
        runner(run(name, open_service, loaded))
    except MuxError as error:
        sys.stderr.write(f"modelmuxer {name}: {error.detail}\n")
        return CANNOT_START
    except KeyboardInterrupt:
        return 130
    return 0


def _uvloop_run() -> Callable[..., None]:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run
    return asyncio.run

"""Run one service: connect, open it, wait for SIGTERM, finish what is in hand."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import msgspec
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import ServiceUnavailableError

from libs.common.bus import Bus
from libs.common.errors import MuxError, Unavailable
from libs.common.probe import serve_probe
from libs.common.settings.load import Loaded
from libs.common.telemetry import set_up_logging
from libs.common.trace import Tracer

log = logging.getLogger(__name__)
Open = Callable[[Bus, Loaded], AbstractAsyncContextManager[None]]

# What JetStream does while a cluster still elects its leaders, or is not there at all.
ELECTING = (NatsTimeout, NoRespondersError, ServiceUnavailableError)
# New objects between two looks of the garbage collector.
GC_OBJECTS = 20_000
ELECTION_SECONDS, AGAIN_SECONDS = 60.0, 0.5

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
    bus.tracer = Tracer(name, settings.telemetry)
    try:
        # The probe comes last and leaves first: it answers only while the service does.
        async with (
            bus.tracer.sending(),
            opened(name, open_service, bus, loaded, stop),
            serve_probe(name, bus, settings),
        ):
            _tidy_up()
            if not stop.is_set():
                log.info("%s is ready", name)
            await stop.wait()
            log.info("%s is draining", name)
            await bus.stop_serving()
    finally:
        await bus.close()


def _tidy_up() -> None:
    """What a service has built by now stays until its end: the garbage collector need not walk
    it again with every ten thousand requests, nor look as often at what a request leaves."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_OBJECTS, 50, 100)


@asynccontextmanager
async def opened(
    name: str, open_service: Open, bus: Bus, loaded: Loaded, stop: asyncio.Event
) -> AsyncIterator[None]:
    """The open service, or nothing if `stop` came first. Streams and buckets are the first it
    needs, so it is tried again while JetStream has no leader. Raises Unavailable in the end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ELECTION_SECONDS
    async with AsyncExitStack() as stack:
        while not stop.is_set():
            try:
                await stack.enter_async_context(open_service(bus, loaded))
                break
            except ELECTING as error:
                if loop.time() > deadline:
                    raise Unavailable(
                        f"JetStream does not answer at {loaded.settings.nats_url} ({error}); is it "
                        "enabled (nats-server -js), and has the cluster a leader?"
                    ) from error
                log.warning("%s waits for JetStream: %s", name, error)
                await bus.stop_serving()
                await asyncio.sleep(AGAIN_SECONDS)
        yield


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

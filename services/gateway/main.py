"""The gateway: HTTP in front of the bus. This file wires; it decides nothing."""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn

from libs.common.bus import Bus
from libs.common.catalogue import Catalogue
from libs.common.contracts.spending import PAUSED, Paused_
from libs.common.errors import Unavailable
from libs.common.outbox import Outbox
from libs.common.prices import PriceTable
from libs.common.settings import Settings
from libs.common.settings.load import Loaded
from services.gateway.app import make_app
from services.gateway.auth import Keys, bootstrap_keys
from services.gateway.call import Call
from services.gateway.dashboard.session import Sessions
from services.gateway.deployments import Deployments
from services.gateway.embedder import open_embedder
from services.gateway.kit import FirstTokens, Kit, Origins
from services.gateway.masking import SpanCache
from services.gateway.protocol import bounded
from services.gateway.report import sparing
from services.gateway.simulator import Simulator
from services.gateway.tracing import Traced
from services.gateway.upstream import open_upstreams
from services.gateway.vault import open_vault
from services.gateway.workers import Workers

log = logging.getLogger(__name__)
BACKLOG = 4096
SETTLE_SECONDS = 10.0


@asynccontextmanager
async def open_service(bus: Bus, loaded: Loaded) -> AsyncIterator[None]:
    """Listen on the configured port until the context exits; then drain."""
    settings = loaded.settings
    async with AsyncExitStack() as stack:
        kit = await open_kit(stack, bus, loaded)
        listener = _listener(settings)
        server = Server(_config(kit, settings))
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        workers = Workers(settings, loaded.file)
        await stack.enter_async_context(workers.running())
        stack.push_async_callback(_drain, kit, server, serving, settings)
        stack.callback(workers.stop)  # first: all drain at the same time
        await server.listening(serving)
        _say(kit, settings)
        yield


async def open_kit(stack: AsyncExitStack, bus: Bus, loaded: Loaded) -> Kit:
    """Everything a request needs, opened in order and closed in reverse."""
    settings = loaded.settings
    stack.enter_context(sparing())
    keys = Keys(bus, bootstrap_keys(loaded), settings.gateway.key_cache)
    await keys.listen()
    deployments = Deployments(bus, loaded, keys)
    spool = settings.data / "spool" / "gateway"
    outbox = await stack.enter_async_context(Outbox(bus, settings.journal, spool))
    upstreams = await stack.enter_async_context(
        open_upstreams(settings.gateway, Simulator(), loaded.environment)
    )
    secret = secret_of(settings)
    vault = await stack.enter_async_context(open_vault(settings.redis_url, secret))
    embedder = await stack.enter_async_context(open_embedder(settings))
    kit = Kit(
        bus=bus,
        loaded=loaded,
        settings=settings,
        outbox=outbox,
        keys=keys,
        deployments=deployments,
        upstreams=upstreams,
        prices=PriceTable.load(loaded),
        catalogue=Catalogue.load(settings),
        spans=SpanCache(settings.pii.cache_blocks),
        secret=secret,
        vault=vault,
        first_tokens=FirstTokens(),
        sessions=Sessions(secret),
        embedder=embedder,
        origins=Origins(),
    )
    stack.push_async_callback(_settled, kit)
    await bus.listen(PAUSED, lambda pause: _stop_paused(kit, pause))
    await stack.enter_async_context(deployments.announced())
    return kit


async def _settled(kit: Kit) -> None:
    """What is still told off the way of clients goes out before the outbox closes."""
    if kit.background:
        await asyncio.wait(kit.background, timeout=SETTLE_SECONDS)


def secret_of(settings: Settings) -> bytes:
    """What placeholders are derived from: configured, or made once and kept (mode 0600)."""
    if settings.secret:
        return settings.secret.encode()
    path: Path = settings.data / "secret"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_bytes()


async def _stop_paused(kit: Kit, pause: Paused_) -> None:
    """The kill switch: open streams of what was paused end now, with an error event."""
    if not pause.paused:
        return
    for call, cancel in list(kit.open_calls.values()):
        if _concerns(call, pause):
            why = f": {pause.reason}" if pause.reason else ""
            call.stopped = f"this {pause.scope} was paused by an administrator{why}"
            cancel()


def _concerns(call: Call, pause: Paused_) -> bool:
    who = call.principal
    ids = {"key": who.key_id, "user": who.user, "team": who.team, "run": who.run}
    mine = ids.get(pause.scope, "")
    named = {mine, f"{who.key_id}/{mine}"} if pause.scope == "run" else {mine}
    return who.org == pause.org and bool(mine) and pause.scope_id in named


def _listener(settings: Settings) -> socket.socket:
    gateway = settings.gateway
    family = socket.AF_INET6 if ":" in gateway.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if gateway.workers > 1 or gateway.reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((gateway.host, gateway.port))
    except OSError as error:
        listener.close()
        raise Unavailable(
            f"cannot listen on {gateway.host}:{gateway.port}: {error.strerror}; "
            "stop what holds the port, or set gateway.port"
        ) from None
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _config(kit: Kit, settings: Settings) -> uvicorn.Config:
    gateway = settings.gateway
    return uvicorn.Config(
        Traced(make_app(kit), kit.bus.tracer),
        host=gateway.host,
        port=gateway.port,
        http=bounded(gateway.timeouts.head),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(gateway.keep_alive),
        timeout_graceful_shutdown=int(gateway.drain),
        ssl_certfile=gateway.tls_cert or None,
        ssl_keyfile=gateway.tls_key or None,
    )


async def _drain(
    kit: Kit, server: "Server", serving: "asyncio.Task[None]", settings: Settings
) -> None:
    """Not ready any more, a wait for load balancers to notice, then finish what is open."""
    kit.draining = True
    await asyncio.sleep(settings.gateway.drain_wait)
    server.should_exit = True
    await serving


def _say(kit: Kit, settings: Settings) -> None:
    for notice in kit.deployments.notices:
        log.warning("%s", notice)
    live = ", ".join(kit.deployments.providers())
    log.info("listening on %s:%s; live: %s", settings.gateway.host, settings.gateway.port, live)


class Server(uvicorn.Server):
    """uvicorn, with signals left to libs.common.service."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._listening.set()

    async def listening(self, serving: "asyncio.Task[None]") -> None:
        """Wait until requests are taken. Raises what kept the server from starting."""
        ready = asyncio.ensure_future(self._listening.wait())
        await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if serving.done():
            serving.result()
            raise Unavailable("the HTTP server stopped as it started")

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

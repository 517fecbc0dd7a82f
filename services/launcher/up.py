"""Start the stores and the five services, keep them running, stop them in waves.

A store whose URL is configured is not started. A service that dies is started again: what it
had not finished is in the journal. One that keeps dying stops everything.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from libs.common.service import CANNOT_START
from libs.common.settings.load import ConfigError, Loaded
from services.launcher import place, ports, probes, share, stores
from services.launcher.banner import banner, decoded, notices, what_stays
from services.launcher.children import Child, Leash, Part, Ready, StartFailed
from services.launcher.faults import fatal
from services.launcher.output import BOLD, GREY, Output
from services.launcher.terminal import foreground

# name → wave of the stop: who asks others stops before them.
SERVICES = {"ledger": 1, "router": 1, "pii": 1, "analytics": 2, "gateway": 0}
READY_SECONDS = 90.0
STORE_SECONDS = 30.0
RESTARTS, WITHIN_SECONDS = 5, 60.0


class Up:
    """One run of the launcher."""

    def __init__(self, loaded: Loaded, output: Output, lock: int) -> None:
        self._loaded, self._output, self._lock = loaded, output, lock
        self._leash = Leash()
        self._children: list[Child] = []
        self._watching: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._stopping = False
        self._fault = ""

    async def run(self) -> int:
        """Until Ctrl-C, SIGTERM or a fault; returns the exit code."""
        self._on_signals()
        starting = asyncio.create_task(self._start())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await stopped
        except StartFailed as error:
            self._fault = str(error)
            if not error.explained:
                self._output.stop_holding(show=True)
        finally:
            starting.cancel()
            await self._stop_all()
        if self._fault:
            sys.stderr.write(f"modelmuxer: {self._fault}\n")
            return CANNOT_START
        self._output.write(f"stopped; {what_stays(self._loaded.settings)}")
        return 0

    async def _start(self) -> None:
        began = time.monotonic()
        environment = await self._start_stores()
        self._output.write(self._output.paint(f"starting {', '.join(SERVICES)} …", GREY))
        for name in SERVICES:
            await self._launch(self._service(name, environment))
        await self._all_ready(self._children, READY_SECONDS)
        took = f"ready in {time.monotonic() - began:.1f} s"
        health = decoded((await self._ask_gateway("/health"))[1])
        self._output.stop_holding(show=False, told=notices(health))
        self._output.write(self._output.paint(took, GREY))
        self._greet(health)

    async def _start_stores(self) -> dict[str, str]:
        """Start what is not configured elsewhere; returns the environment of the services."""
        settings, folder = self._loaded.settings, self._loaded.settings.data.absolute()
        environment = {"MODELMUXER_DATA_DIR": str(folder)}
        for name, url in (("nats", settings.nats_url), ("redis", settings.redis_url)):
            if url:
                continue
            environment |= await self._start_store(name, folder)
        place.tell_stores(folder, environment)
        return environment

    async def _start_store(self, name: str, folder: Path) -> dict[str, str]:
        """On the next port, should another process have taken ours just now."""
        describe = {"nats": stores.nats, "redis": stores.redis}[name]
        for tries_left in (2, 1, 0):
            part, environment = describe(folder, place.password(folder))
            child = await self._launch(part)
            try:
                await child.wait_ready(STORE_SECONDS)
            except StartFailed as error:
                if not tries_left or "in use" not in str(error):
                    raise
                self._children.remove(child)
                continue
            self._watch(child)
            return environment
        raise AssertionError("unreachable")

    def _service(self, name: str, environment: dict[str, str]) -> Part:
        own = dict(environment)
        if name == "gateway":
            ready: Ready = self._gateway_ready
        else:
            port = ports.own_range(list(SERVICES).index(name))
            own |= {"MODELMUXER_PROBE_PORT": str(port), "MODELMUXER_PROBE_HOST": "127.0.0.1"}
            ready = partial(_answers, port)
        # -P: the folder we are started in may hold a `services` of its own.
        argv = [sys.executable, "-P", "-m", "services", name]
        return Part(name=name, argv=argv, environment=own, ready=ready, wave=SERVICES[name])

    async def _gateway_ready(self) -> bool:
        return (await self._ask_gateway("/ready"))[0] == 200

    async def _ask_gateway(self, path: str) -> tuple[int, bytes]:
        gateway = self._loaded.settings.gateway
        return await probes.http(
            _reachable(gateway.host), gateway.port, path, bool(gateway.tls_cert)
        )

    async def _launch(self, part: Part) -> Child:
        child = Child(part, self._leash, self._lock, self._output.say)
        await child.start()
        self._children.append(child)
        return child

    async def _all_ready(self, children: list[Child], seconds: float) -> None:
        waiting = [asyncio.create_task(child.wait_ready(seconds)) for child in children]
        try:
            await asyncio.gather(*waiting)
        finally:
            for task in waiting:
                task.cancel()
        for child in children:
            if child.part.wave != stores.STORES_WAVE:
                self._watch(child)

    def _greet(self, health: Mapping[str, Any]) -> None:
        gateway = self._loaded.settings.gateway
        scheme = "https" if gateway.tls_cert else "http"
        host = _reachable(gateway.host)
        name = "localhost" if host == "127.0.0.1" else f"[{host}]" if ":" in host else host
        url = f"{scheme}://{name}:{gateway.port}"
        text = banner(url, self._loaded, health)
        self._output.write(text.replace(url, self._output.paint(url, BOLD), 1))

    def _watch(self, child: Child) -> None:
        task = asyncio.create_task(self._keep_running(child))
        self._watching.add(task)

    async def _keep_running(self, child: Child) -> None:
        ends: list[float] = []
        while True:
            code = await child.ended()
            if self._stopping:
                return
            ends = [end for end in ends if time.monotonic() - end < WITHIN_SECONDS]
            ends.append(time.monotonic())
            if len(ends) > RESTARTS or code == CANNOT_START:
                self._fault = f"{child.part.name} keeps stopping (code {code}); see the lines above"
                return self._stop.set()
            self._output.write(f"{child.part.name} stopped (code {code}); starting it again")
            await asyncio.sleep(0.2 * 2 ** (len(ends) - 1))
            if self._stopping:
                return
            try:
                await child.start()
            except StartFailed as error:
                self._fault = str(error)
                return self._stop.set()

    def _on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        kept_on = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # `nohup`
        for sign in (signal.SIGINT, signal.SIGTERM, *(() if kept_on else (signal.SIGHUP,))):
            loop.add_signal_handler(sign, self._signalled)

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._output.write("killing what is left")
            for child in self._children:
                child.kill()
            return
        self._output.write("stopping: requests in hand are finished first; Ctrl-C again kills")
        self._stop.set()

    async def _stop_all(self) -> None:
        self._stop.set()
        self._stopping = True
        for wave in sorted({child.part.wave for child in self._children}):
            await asyncio.gather(*(c.stop() for c in self._children if c.part.wave == wave))
        for task in self._watching:
            task.cancel()
        self._leash.close()


async def _answers(port: int) -> bool:
    return (await probes.http("127.0.0.1", port, "/ready"))[0] == 200


def _reachable(host: str) -> str:
    """The address at which a listener on `host` answers from here."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1", "localhost": "127.0.0.1"}.get(
        host, host
    )


def run_up(loaded: Loaded) -> int:
    """The body of `modelmuxer up`; returns the exit code."""
    gateway = loaded.settings.gateway
    for fault in fatal(loaded):
        raise ConfigError(fault)
    if fault := ports.fault(gateway.port, gateway.host or "0.0.0.0"):
        raise ConfigError(fault)
    share.take_turns()
    with place.claim(loaded.settings.data) as lock, foreground():
        output = Output(hold=not loaded.settings.debug)
        return asyncio.run(Up(loaded, output, lock).run())

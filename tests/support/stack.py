"""The whole product for a test: five services, real stores, the stand-in as the provider.

`Stack` opens the services in the test's own loop, by the function that the container and
`modelmuxer up` open too; analytics alone is a child process, since the embedded engine holds
its folder for the life of a process. `ProcessStack` runs every service as a child process, to
be killed, stopped, restarted and multiplied.
"""

import asyncio
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anthropic
import httpx
import msgspec

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.usage import USED, Usage
from libs.common.settings.bus import BusSettings
from libs.common.settings.load import Loaded, load
from tests.support.provider import KEY, Provider, running
from tests.support.servers import Server, free_port

REPOSITORY = Path(__file__).resolve().parents[2]
IN_LOOP = ("ledger", "router", "pii", "gateway")
ALL = ("ledger", "analytics", "router", "pii", "gateway")
START_SECONDS = 30.0
STOP_SECONDS = 45.0

# Keys of the stack. `plain` takes what it asks for, with nothing masked; `auto` is routed;
# `masked` is masked; `admin` may do everything.
KEYS = {
    "plain": "sk-mm-plain-0000000000000001",
    "auto": "sk-mm-auto-00000000000000002",
    "masked": "sk-mm-masked-000000000000003",
    "admin": "sk-mm-admin-0000000000000004",
}
# Without a provider the simulator answers.
PROVIDERS = """\
[providers.anthropic]
api_key = "{key}"
base_url = "{provider}"
"""
CONFIG = """\
data_dir = "{data}"
nats_url = "{nats}"
redis_url = "{redis}"
secret = "a secret for tests only"
{top}
[gateway]
port = {port}
{gateway}
{providers}
[keys.plain]
key = "{plain}"
team = "alpha"
user = "ada"
routing = "respect"
pii = "off"

[keys.auto]
key = "{auto}"
routing = "auto"
pii = "off"

[keys.masked]
key = "{masked}"
routing = "respect"

[keys.admin]
key = "{admin}"
routing = "respect"
pii = "off"
admin = true
{more}
"""


@dataclass(kw_only=True)
class Place:
    """Where a stack lives, and how to speak to it."""

    folder: Path
    port: int
    provider: Provider
    nats: Server
    redis: Server
    config: Path
    children: dict[str, "Child"] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def http(self, key: str = "plain", **headers: str) -> httpx.AsyncClient:
        """A raw client with a key of the stack."""
        own = {"x-api-key": KEYS[key], "anthropic-version": "2023-06-01"} | headers
        return httpx.AsyncClient(base_url=self.url, headers=own, timeout=30)

    def sdk(self, key: str = "plain", **options: Any) -> anthropic.AsyncAnthropic:
        """The official client, as users configure it."""
        options = {"max_retries": 0, "timeout": 30.0} | options
        return anthropic.AsyncAnthropic(base_url=self.url, api_key=KEYS[key], **options)

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until the gateway says that it can answer."""
        deadline, last = time.monotonic() + seconds, ""
        async with self.http() as http:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (answer := await http.get("/ready")).status_code == 200:
                        return
                    last = answer.text
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the gateway is not ready; see {self.folder}: {last}")
                await asyncio.sleep(0.05)

    async def rows(self, count: int, seconds: float = 10.0) -> list[Usage]:
        """Every usage row of the journal, once there are so many; waits for them."""
        bus = await Bus.connect(BusSettings(url=self.nats.url), "test")
        try:
            deadline = time.monotonic() + seconds
            while True:
                found = await _journal(bus)
                if len(found) >= count or time.monotonic() > deadline:
                    return found
                await asyncio.sleep(0.05)
        finally:
            await bus.close()

    async def booked(self, micro: int, key: str = "admin", seconds: float = 20.0) -> int:
        """Wait until analytics has booked an amount; returns what it has booked at last."""
        deadline = time.monotonic() + seconds
        async with self.http(key) as http:
            while True:
                answer = await http.get("/v1/analytics/costs", params={"days": 1})
                found = _micro(answer.json()["total_cost"]) if answer.status_code == 200 else -1
                if found == micro or time.monotonic() > deadline:
                    return found
                await asyncio.sleep(0.1)

    async def spent(self, micro: int, key: str = "plain", seconds: float = 10.0) -> int:
        """Wait until the ledger has settled an amount on the key's first budget."""
        deadline = time.monotonic() + seconds
        async with self.http(key) as http:
            while True:
                found = (await http.get("/v1/analytics/budgets")).json()["budgets"][0]
                if _micro(found["spent"]) == micro or time.monotonic() > deadline:
                    return _micro(found["spent"])
                await asyncio.sleep(0.05)


class Stack(Place):
    """The services in the test's loop."""


class ProcessStack(Place):
    """The services as child processes, by name; a replica is `name-2`, `name-3`, …"""

    def start(self, name: str) -> "Child":
        child = Child(name, self.config, self.folder / f"{name}.log").start()
        self.children[name] = child
        return child

    async def another_gateway(self, name: str) -> int:
        """One more gateway with the same settings; returns the port of its own."""
        port = free_port()
        config = self.folder / f"{name}.toml"
        text = self.config.read_text()
        config.write_text(text.replace(f"port = {self.port}", f"port = {port}"))
        child = Child("gateway", config, self.folder / f"{name}.log").start()
        self.children[name] = child
        await child.ready()
        return port

    def stop(self, name: str, sign: signal.Signals = signal.SIGTERM) -> int:
        """Signal a child and wait; returns its exit code."""
        return self.children.pop(name).stop(sign)

    @property
    def pids(self) -> list[int]:
        return [child.pid for child in self.children.values()]


class Child:
    """`python -m services NAME` in a process of its own."""

    def __init__(self, name: str, config: Path, log: Path, options: Sequence[str] = ()) -> None:
        self.name, self.log = name, log
        service = name.partition("-")[0]
        self.argv = [sys.executable, "-m", "services", service, "--config", str(config), *options]
        self.process: subprocess.Popen[bytes] | None = None
        self._seen = 0

    def start(self) -> "Child":
        environment = _environment()
        self._seen = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.argv, cwd=REPOSITORY, stdout=log, stderr=log, env=environment
            )
        return self

    async def ready(self, seconds: float = START_SECONDS) -> None:
        """Wait for the service's own word that it is ready."""
        deadline = time.monotonic() + seconds
        while b" is ready" not in self.log.read_bytes()[self._seen :]:
            if self.process and self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {self.log.read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} is not ready: {self.log.read_text()[-2000:]}")
            await asyncio.sleep(0.02)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(sign)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(5)
            raise

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid


@contextlib.asynccontextmanager
async def stack(
    folder: Path, nats: Server, redis: Server, *, analytics: bool = False, **config: str
) -> AsyncIterator[Stack]:
    """The services in this loop. `config`: TOML text for `top`, `gateway`, `providers` and
    `more`."""
    async with running() as provider, contextlib.AsyncExitStack() as opened:
        place = Stack(**placed(folder, nats, redis, provider, config))
        loaded = load(str(place.config), environ={})
        if analytics:
            child = Child("analytics", place.config, folder / "analytics.log").start()
            opened.callback(child.stop)
            await child.ready()
        for name in IN_LOOP:
            await opened.enter_async_context(service(name, loaded))
        await place.ready()
        yield place


@contextlib.asynccontextmanager
async def process_stack(
    folder: Path, nats: Server, redis: Server, names: Sequence[str] = ALL, **config: str
) -> AsyncIterator[ProcessStack]:
    """The services as child processes."""
    async with running() as provider:
        place = ProcessStack(**placed(folder, nats, redis, provider, config))
        try:
            for name in names:
                place.start(name)
            for child in list(place.children.values()):
                await child.ready()
            await place.ready()
            yield place
        finally:
            for name in reversed(list(place.children)):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    place.stop(name)


@contextlib.asynccontextmanager
async def service(name: str, loaded: Loaded) -> AsyncIterator[None]:
    """One service in this loop, opened as its runner does and left in the same order."""
    module = importlib.import_module(f"services.{name}.main")
    nats = loaded.settings.nats
    bus = await Bus.connect(msgspec.structs.replace(nats, url=loaded.settings.nats_url), name)
    try:
        async with module.open_service(bus, loaded):
            try:
                yield
            finally:
                await bus.stop_serving()
    finally:
        await bus.close()


async def _journal(bus: Bus) -> list[Usage]:
    js = bus.client.jetstream()
    state = (await js.stream_info(EVENTS_STREAM)).state
    decoder = msgspec.json.Decoder(Usage)
    rows: list[Usage] = []
    for number in range(max(1, state.first_seq), state.last_seq + 1):
        message = await js.get_msg(EVENTS_STREAM, number)
        if message.subject == USED.subject and message.data:
            rows += decoder.decode_lines(message.data)
    return rows


def placed(
    folder: Path, nats: Server, redis: Server, provider: Provider, config: dict[str, str]
) -> dict[str, Any]:
    """The arguments of a place, its settings written."""
    port = free_port()
    file = folder / "modelmuxer.toml"
    # `{stand_in}` in a test's own settings is the stand-in's root.
    own = {name: text.replace("{stand_in}", provider.url) for name, text in config.items()}
    providers = PROVIDERS.format(key=KEY, provider=provider.base_url())
    texts = {"top": "", "gateway": "", "more": "", "providers": providers} | own
    file.write_text(
        CONFIG.format(
            data=folder / "data",
            nats=nats.url,
            redis=redis.url,
            port=port,
            **KEYS,
            **texts,
        )
    )
    return {
        "folder": folder,
        "port": port,
        "provider": provider,
        "nats": nats,
        "redis": redis,
        "config": file,
    }


def _environment() -> dict[str, str]:
    """Nothing of the developer's own settings or keys reaches a child."""
    keep = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    return {name: os.environ[name] for name in keep if name in os.environ}


def _micro(usd: str) -> int:
    whole, _, rest = usd.partition(".")
    return int(whole) * 1_000_000 + int(rest.ljust(6, "0")[:6] or 0)

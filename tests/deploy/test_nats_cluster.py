"""Three nats-servers, streams replicated three times, as in the manifests."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from nats.js.errors import APIError

from libs.common.bus import LOST, Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.settings.bus import BusSettings
from tests.deploy.test_rollout import counted, under_load
from tests.support.servers import Server, binary, free_port, running
from tests.support.stack import process_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CONF = """\
server_name: "n{number}"
listen: "127.0.0.1:{port}"
max_payload: 8MB
jetstream {{ store_dir: "{folder}/jetstream" }}
cluster {{ name: "modelmuxer", listen: "127.0.0.1:{own}", routes: [{routes}] }}
lame_duck_duration: "30s"
lame_duck_grace_period: "1s"
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Server]]:
    routes = [free_port() for _ in range(3)]
    names = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    with ExitStack() as stack:
        servers = [node(tmp_path / f"n{n}", n, own, names) for n, own in enumerate(routes)]
        for server in servers:
            stack.enter_context(running(server))
        yield servers


def node(folder: Path, number: int, own: int, routes: str) -> Server:
    folder.mkdir()
    port = free_port()
    config = folder / "nats.conf"
    config.write_text(CONF.format(number=number, port=port, folder=folder, own=own, routes=routes))
    return Server(
        [binary("nats-server"), "-c", str(config)], port, f"nats://127.0.0.1:{port}", folder
    )


class Cluster(Server):
    """The three as one address."""

    def __init__(self, servers: list[Server]) -> None:
        super().__init__([], servers[0].port, ",".join(s.url for s in servers), servers[0].cwd)


async def leader(servers: list[Server]) -> Server:
    """The node that leads the stream of events."""
    bus = await Bus.connect(BusSettings(url=",".join(s.url for s in servers)), "test")
    try:
        info = await bus.client.jetstream().stream_info(EVENTS_STREAM)
        assert info.cluster and info.cluster.leader
        return servers[int(info.cluster.leader.removeprefix("n"))]
    finally:
        await bus.close()


async def test_a_node_that_dies_costs_moments_and_no_event(
    tmp_path: Path, cluster: list[Server], redis: Server
) -> None:
    top = "[journal]\nreplicas = 3\n"
    (tmp_path / "stack").mkdir()
    async with process_stack(tmp_path / "stack", Cluster(cluster), redis, more=top) as place:
        async with under_load(place.url) as load:
            await asyncio.sleep(1.0)
            victim = await leader(cluster)
            await asyncio.to_thread(victim.kill, signal.SIGKILL)
            await asyncio.sleep(8.0)
            await asyncio.to_thread(victim.start)
            await asyncio.sleep(2.0)
        rows = await counted(place, load.statuses.count(200), 60)
    assert set(load.failed) <= {503}
    assert len(load.failed) < len(load.statuses) / 2
    assert load.statuses[-5:] == [200] * 5
    assert rows >= load.statuses.count(200)


async def roll(server: Server) -> None:
    """Lame duck mode, as the preStop hook of the manifests: clients move on, then it ends."""
    assert server.process
    server.process.send_signal(signal.SIGUSR2)
    await asyncio.to_thread(server.process.wait, 60)
    await asyncio.to_thread(server.start)


async def synced(servers: list[Server]) -> None:
    """Until every copy of the events is up to date again, as readiness of a pod says."""
    bus = await Bus.connect(BusSettings(url=",".join(s.url for s in servers)), "test")
    try:
        for _ in range(150):
            with contextlib.suppress(*LOST, APIError):
                info = (await bus.client.jetstream().stream_info(EVENTS_STREAM)).cluster
                if info and info.leader and all(each.current for each in info.replicas or ()):
                    return
            await asyncio.sleep(0.2)
        raise TimeoutError("the copies do not agree")
    finally:
        await bus.close()


async def test_rolling_every_node_costs_moments_and_no_event(
    tmp_path: Path, cluster: list[Server], redis: Server
) -> None:
    (tmp_path / "stack").mkdir()
    top = "[journal]\nreplicas = 3\n"
    async with process_stack(tmp_path / "stack", Cluster(cluster), redis, more=top) as place:
        async with under_load(place.url) as load:
            for server in cluster:
                await roll(server)
                await synced(cluster)
            await asyncio.sleep(3.0)
        rows = await counted(place, load.statuses.count(200), 60)
    assert set(load.failed) <= {503}
    assert len(load.failed) < len(load.statuses) / 10
    assert load.statuses[-5:] == [200] * 5
    assert rows >= load.statuses.count(200)

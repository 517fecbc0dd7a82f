"""A service whose JetStream is not there yet."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.servers import Server, binary, free_port, running
from tests.support.stack import Child

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
CONF = """\
server_name: "n{number}"
listen: "127.0.0.1:{port}"
jetstream {{ store_dir: "{folder}/jetstream" }}
cluster {{ name: "c", listen: "127.0.0.1:{own}", routes: [{routes}] }}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[Server]]:
    """Three nodes, of which only the first is up: it takes connections and has no leader."""
    owns = [free_port() for _ in range(3)]
    routes = ", ".join(f'"nats://127.0.0.1:{own}"' for own in owns)
    nodes = [node(tmp_path / f"n{n}", n, own, routes) for n, own in enumerate(owns)]
    with ExitStack() as stack:
        stack.enter_context(running(nodes[0]))
        for late in nodes[1:]:
            stack.callback(late.kill)
        yield nodes


def node(folder: Path, number: int, own: int, routes: str) -> Server:
    folder.mkdir()
    port, file = free_port(), folder / "nats.conf"
    file.write_text(CONF.format(number=number, port=port, folder=folder, own=own, routes=routes))
    argv = [binary("nats-server"), "-c", str(file)]
    return Server(argv, port, f"nats://127.0.0.1:{port}", folder)


def ledger(folder: Path, nats: Server, redis: Server) -> Child:
    config = folder / "modelmuxer.toml"
    config.write_text(
        f'data_dir = "{folder}/data"\nnats_url = "{nats.url}"\nredis_url = "{redis.url}"\n'
    )
    return Child("ledger", config, folder / "ledger.log").start()


async def waits(child: Child) -> None:
    async with asyncio.timeout(20):
        while b"waits for JetStream" not in child.log.read_bytes():
            await asyncio.sleep(0.05)


async def test_a_service_waits_for_a_cluster_that_still_elects(
    tmp_path: Path, cluster: list[Server], redis: Server
) -> None:
    child = ledger(tmp_path, cluster[0], redis)
    await waits(child)
    for late in cluster[1:]:
        late.start()
    await child.ready()
    assert child.stop() == 0


async def test_a_service_that_waits_for_jetstream_stops_at_once(
    tmp_path: Path, cluster: list[Server], redis: Server
) -> None:
    child = ledger(tmp_path, cluster[0], redis)
    await waits(child)
    async with asyncio.timeout(8):
        assert await asyncio.to_thread(child.stop, signal.SIGTERM) == 0

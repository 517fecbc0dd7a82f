"""The images that docker-compose.yml names, where a container engine answers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from libs.common.bus import Bus
from libs.common.contracts.base import Operation
from libs.common.settings.bus import BusSettings
from tests.support.servers import wait_for_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"


class Word(msgspec.Struct, frozen=True, kw_only=True):
    text: str


SHOUT = Operation("test.shout.v1", Word, Word)


def image_of(name: str) -> str:
    found = re.search(rf"image: ({name}:\S+)", COMPOSE.read_text())
    assert found, f"docker-compose.yml names no image {name}"
    return found[1]


@contextmanager
def container(image: str, port: int, command: str) -> Iterator[int]:
    try:
        DockerClient().client.ping()
    except Exception as error:  # noqa: BLE001  docker's own tree of errors, and the socket's
        pytest.skip(f"no container engine answers: {type(error).__name__}")
    with DockerContainer(image).with_command(command).with_exposed_ports(port) as running:
        exposed = int(running.get_exposed_port(port))
        wait_for_port(exposed, 30)
        yield exposed


async def shout(word: Word) -> Word:
    return Word(text=word.text.upper())


async def test_services_ask_each_other_over_the_nats_image_of_the_compose_file() -> None:
    with container(image_of("nats"), 4222, "-js") as port:
        bus = await Bus.connect(BusSettings(url=f"nats://127.0.0.1:{port}"), "test")
        try:
            await bus.serve(SHOUT, shout)
            assert (await bus.ask(SHOUT, Word(text="hi"))).text == "HI"
        finally:
            await bus.close()

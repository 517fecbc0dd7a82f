"""A real nats-server and a real Redis per test; nothing of ours is ever mocked."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.product import REPOSITORY, SETTINGS, Product, started
from tests.support.servers import Server, nats_server, redis_server, running

# The same examples on every machine and at every run; `make explore` looks at others.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
# A shell starts its background jobs with SIGINT ignored, and what they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Server]:
    with running(nats_server(tmp_path / "nats")) as server:
        yield server


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    with running(redis_server(tmp_path / "redis")) as server:
        yield server


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """`modelmuxer up` with the shipped `.env.example` and an administrator's key, for tests
    that only speak to it."""
    folder = tmp_path_factory.mktemp("product")
    (folder / ".env").write_text((REPOSITORY / ".env.example").read_text())
    (folder / "modelmuxer.toml").write_text(SETTINGS)
    with started(folder) as running_product:
        yield running_product

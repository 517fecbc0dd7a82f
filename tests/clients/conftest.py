"""One stack for each module, with all five services."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.installed import Client, Missing
from tests.support.fixtures import *  # noqa: F403  fixtures go by name


@pytest.fixture(scope="module")
def analytics() -> bool:
    return True


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="session")
def need() -> Callable[[Client], None]:
    """Skip where a client cannot be installed, with the reason."""

    def install(client: Client) -> None:
        try:
            client.install()
        except Missing as missing:
            pytest.skip(f"{client.name}: {missing}")

    return install

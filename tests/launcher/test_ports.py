import os
import socket
from collections.abc import Iterator

import pytest

from services.launcher import ports


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_somebody_listens_on_is_not_free(taken: int) -> None:
    assert not ports.is_free(taken)
    assert ports.first_free(taken) > taken


def test_the_holder_of_a_port_is_named_with_its_command(taken: int) -> None:
    assert f"process {os.getpid()} (" in ports.holder(taken)


def test_a_port_nobody_holds_has_no_named_holder() -> None:
    assert ports.holder(1) == "another process"

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


def test_what_stands_in_the_way_is_told_with_what_to_do(taken: int) -> None:
    assert ports.fault(ports.first_free(taken), "127.0.0.1") == ""
    assert "stop it, or take another: modelmuxer up --port" in ports.fault(taken, "127.0.0.1")
    assert ports.fault(taken, "nowhere.invalid") == (
        "gateway.host = 'nowhere.invalid' is no address of this machine; take 127.0.0.1"
    )


def test_above_the_last_port_the_search_goes_on_below() -> None:
    assert 1024 <= ports.first_free(65_536) < 65_536

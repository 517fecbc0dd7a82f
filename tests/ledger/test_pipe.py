"""The pipelined connection, under both event loops."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import BusyLoadingError, ConnectionError, ResponseError, TimeoutError

from services.ledger.pipe import Pipe
from tests.ledger.support import until
from tests.support.servers import Server, free_port

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def pipe(redis: Server) -> AsyncIterator[Pipe]:
    found = Pipe(redis.url, 1.0)
    yield found
    await found.close()


async def test_many_at_once_each_get_their_own_answer(pipe: Pipe) -> None:
    echoes = [pipe.execute("ECHO", str(number)) for number in range(1000)]
    assert await asyncio.gather(*echoes) == [b"%d" % number for number in range(1000)]


async def test_an_error_reaches_its_asker_alone(pipe: Pipe) -> None:
    await pipe.execute("SET", "text", "a")
    found = await asyncio.gather(
        pipe.execute("ECHO", "1"),
        pipe.execute("INCR", "text"),
        pipe.execute("ECHO", "2"),
        return_exceptions=True,
    )
    assert (found[0], found[2]) == (b"1", b"2")
    assert isinstance(found[1], ResponseError)


async def test_an_asker_that_leaves_takes_nobodys_answer(pipe: Pipe) -> None:
    leaving = asyncio.create_task(pipe.execute("ECHO", "gone"))
    staying = asyncio.create_task(pipe.execute("ECHO", "here"))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == b"here"


async def test_a_lost_connection_is_told_and_made_again(pipe: Pipe, redis: Server) -> None:
    assert await pipe.execute("PING") == b"PONG"
    redis.kill()
    with pytest.raises(ConnectionError):
        for _ in range(3):
            await pipe.execute("PING")
    redis.start()
    await until(lambda: answers(pipe))


async def answers(pipe: Pipe) -> bool:
    try:
        return bool(await pipe.execute("PING") == b"PONG")
    except BusyLoadingError:
        return False


async def test_a_server_that_says_nothing_is_given_up(redis: Server) -> None:
    pipe = Pipe(redis.url, 0.2)
    await pipe.execute("PING")
    with pytest.raises(TimeoutError):
        await pipe.execute("BLPOP", "nothing", "5")
    assert await pipe.execute("PING") == b"PONG"
    await pipe.close()


async def test_nobody_listening_is_a_lost_connection() -> None:
    pipe = Pipe(f"redis://127.0.0.1:{free_port()}/0", 0.5)
    with pytest.raises(ConnectionError):
        await pipe.execute("PING")
    await pipe.close()


async def test_the_database_of_the_address_is_used(redis: Server) -> None:
    pipe = Pipe(redis.url.replace("/0", "/3"), 1.0)
    await pipe.execute("SET", "here", "3")
    assert b"db3" in await pipe.execute("INFO", "keyspace")
    await pipe.close()

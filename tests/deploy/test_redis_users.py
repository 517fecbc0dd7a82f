"""One Redis user per service, each at its own names, on a real server with the shipped users."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from tests.support.servers import Server, free_port, redis_binary, running

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
USERS = ("gateway", "ledger")


def shipped(name: str) -> list[str]:
    """The command of Redis, every password in it `secret`."""
    if name == "compose":
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        command = services["redis"]["command"]
    else:
        objects = yaml.safe_load_all((ROOT / "deploy/k8s/base/stores/redis.yaml").read_text())
        store = next(each for each in objects if each["kind"] == "StatefulSet")
        command = store["spec"]["template"]["spec"]["containers"][0]["command"]
    return [re.sub(r"\$\{[A-Z_]+:-[\w-]+\}|\$\([A-Z_]+\)", "secret", word) for word in command]


def shipped_redis(folder: Path, name: str) -> Server:
    folder.mkdir(exist_ok=True)
    port, (_, *words) = free_port(), shipped(name)
    words = [word for word in words if not word.startswith("--dir")]
    own = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    argv = [redis_binary(), *own, *words]
    return Server(argv, port, f"redis://:secret@127.0.0.1:{port}/0", folder)


def url_of(server: Server, user: str) -> str:
    return server.url.replace("redis://:", f"redis://{user}:")


@pytest.fixture(params=["compose", "k8s"])
def redis(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with running(shipped_redis(tmp_path / "redis", request.param)) as server:
        yield server


@pytest.mark.parametrize("user", USERS)
async def test_a_service_is_let_at_its_own_names_only(redis: Server, user: str) -> None:
    (other,) = set(USERS) - {user}
    async with Redis.from_url(url_of(redis, user)) as store:
        await store.set(f"{user}:one", 1)
        assert await store.get(f"{user}:one") == b"1"
        for forbidden in ("GET", "DEL", "TYPE"):
            with pytest.raises(NoPermissionError):
                await store.execute_command(forbidden, f"{other}:one")
        with pytest.raises(NoPermissionError):
            await store.set("one", 1)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("command", ["FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST", "SHUTDOWN"])
async def test_a_service_commands_nothing_but_its_names(
    redis: Server, user: str, command: str
) -> None:
    async with Redis.from_url(url_of(redis, user)) as store:
        with pytest.raises(NoPermissionError):
            await store.execute_command(*command.split())


async def test_without_a_password_nobody_is_let_in(redis: Server) -> None:
    for url in (redis.url.replace(":secret@", ""), redis.url.replace("secret", "wrong")):
        async with Redis.from_url(url) as store:
            with pytest.raises(AuthenticationError):
                await store.ping()

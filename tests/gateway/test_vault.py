"""What gateways remember together, in a Redis that lets them at their own names only."""

import pytest
from redis.asyncio import Redis

from libs.common.errors import Unavailable
from services.gateway.vault import Vault, open_vault
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
RULES = (
    "on >secret resetkeys ~gateway:* -@all +@connection +@string +@list +@keyspace +@transaction"
)


async def test_a_redis_user_confined_to_the_gateways_names_is_enough(redis: Server) -> None:
    async with Redis.from_url(redis.url) as admin:
        await admin.execute_command("ACL", "SETUSER", "gateway", *RULES.split())
    url = redis.url.replace("redis://", "redis://gateway:secret@")
    async with open_vault(url, b"s") as vault:
        assert await vault.claim("a", 5) and not await vault.claim("a", 5)
        await vault.put("a", 1, 5)
        for number in range(3):
            await vault.push("b", number, 2, 5)
        assert (await vault.get("a", int), await vault.listed("b", int)) == (1, [2, 1])
        await vault.drop("a")
        await vault.unclaim("a")


async def test_what_another_secret_sealed_is_not_there(redis: Server) -> None:
    async with Redis.from_url(redis.url) as store:
        await Vault(store, b"one").push("b", 1, 2, 5)
        assert await Vault(store, b"two").listed("b", int) == []


async def test_without_a_store_it_says_so() -> None:
    with pytest.raises(Unavailable, match="redis_url"):
        await Vault(None, b"s").listed("b", int)

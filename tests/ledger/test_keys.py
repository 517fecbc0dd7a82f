import asyncio
import hashlib
import time
from typing import Any

import pytest

from libs.common.contracts.identity import (
    KEYS_CHANGED,
    LOOK_UP_KEY,
    Key,
    KeysChanged,
    Limits,
    LookUpKey,
)
from libs.common.contracts.spending import (
    ACT_ON_KEY,
    CREATE_KEY,
    LIST_KEYS,
    AskAsAdmin,
    CreatedKey,
    CreateKey,
    KeyAction,
)
from libs.common.errors import Conflict, Forbidden, InvalidRequest, NotFound
from tests.ledger.support import ADMIN, MEMBER, Client, until
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


async def create(client: Client, name: str = "ann", by: Any = ADMIN, **more: Any) -> CreatedKey:
    key = Key(id="", name=name, **more)
    return await client.bus.ask(CREATE_KEY, CreateKey(principal=by, key=key))


async def act(client: Client, id: str, action: Any, by: Any = ADMIN, **more: Any) -> CreatedKey:
    ask = KeyAction(principal=by, id=id, action=action, **more)
    return await client.bus.ask(ACT_ON_KEY, ask)


async def found(client: Client, secret: str) -> Key | None:
    sha256 = hashlib.sha256(secret.encode()).hexdigest()
    return (await client.bus.ask(LOOK_UP_KEY, LookUpKey(sha256=sha256))).key


async def test_a_made_key_is_found_by_its_hash_with_all_its_policy(ledger: Client) -> None:
    made = await create(ledger, team="core", user="ann", models=("claude-*",), limits=Limits(rpm=5))
    key = await found(ledger, made.secret)
    assert key == made.key
    assert key.id == "key_" + hashlib.sha256(made.secret.encode()).hexdigest()[:16]
    assert (key.team, key.models, key.limits.rpm, key.managed) == ("core", ("claude-*",), 5, True)
    assert await found(ledger, "sk-mm-wrong") is None


async def test_the_widest_mode_of_a_key_is_kept_and_outlives_a_new_secret(ledger: Client) -> None:
    made = await create(ledger, routing="respect", routing_max="auto")
    rotated = await act(ledger, made.key.id, "rotate")
    key = await found(ledger, rotated.secret)
    assert key and (key.routing, key.widest) == ("respect", "auto")
    with pytest.raises(InvalidRequest, match="routing_max: 'respect' is narrower"):
        await create(ledger, "bob", routing="auto", routing_max="respect")


async def test_a_secret_is_stored_nowhere(ledger: Client, redis: Server, nats: Server) -> None:
    made = await create(ledger)
    await act(ledger, made.key.id, "rotate")
    for folder in redis.cwd, nats.cwd:
        for file in folder.rglob("*"):
            assert not file.is_file() or made.secret.encode() not in file.read_bytes()


async def test_a_revoked_key_opens_nothing(ledger: Client) -> None:
    made = await create(ledger)
    await act(ledger, made.key.id, "revoke")
    assert await found(ledger, made.secret) is None
    with pytest.raises(Conflict, match="revoked already"):
        await act(ledger, made.key.id, "revoke")


async def test_an_expired_key_opens_nothing(ledger: Client) -> None:
    made = await create(ledger, expires_at=time.time() + 0.3)
    assert await found(ledger, made.secret)
    await asyncio.sleep(0.35)
    assert await found(ledger, made.secret) is None


async def test_a_rotated_key_keeps_its_id_and_its_old_secret_for_a_while(ledger: Client) -> None:
    made = await create(ledger)
    new = await act(ledger, made.key.id, "rotate", grace=0.3)
    assert new.key.id == made.key.id
    assert await found(ledger, new.secret) and await found(ledger, made.secret)
    await asyncio.sleep(0.35)
    assert await found(ledger, made.secret) is None
    assert await found(ledger, new.secret)


async def test_a_rotation_without_grace_ends_the_old_secret_at_once(ledger: Client) -> None:
    made = await create(ledger)
    new = await act(ledger, made.key.id, "rotate")
    assert await found(ledger, made.secret) is None
    assert await found(ledger, new.secret)


async def test_every_change_is_told_so_that_caches_drop_the_key(ledger: Client) -> None:
    told: list[KeysChanged] = []

    async def hear(change: KeysChanged) -> None:
        told.append(change)

    await ledger.bus.listen(KEYS_CHANGED, hear)
    made = await create(ledger)
    await act(ledger, made.key.id, "revoke")

    async def both() -> bool:
        return len(told) == 2

    await until(both)
    assert told[1].ids == (made.key.id,)


async def test_keys_are_listed_without_secrets(ledger: Client) -> None:
    made = await create(ledger)
    keys = (await ledger.bus.ask(LIST_KEYS, AskAsAdmin(principal=ADMIN))).keys
    assert keys == (made.key,)
    assert keys[0].prefix == made.secret[:12]


async def test_keys_are_found_while_the_store_is_away(ledger: Client, redis: Server) -> None:
    made = await create(ledger)
    revoked = await create(ledger, "bob")
    await act(ledger, revoked.key.id, "revoke")
    redis.kill()
    assert await found(ledger, made.secret) == made.key
    assert await found(ledger, revoked.secret) is None


async def test_only_administrators_manage_keys(ledger: Client) -> None:
    made = await create(ledger)
    for attempt in (
        create(ledger, "bob", by=MEMBER),
        act(ledger, made.key.id, "revoke", by=MEMBER),
        ledger.bus.ask(LIST_KEYS, AskAsAdmin(principal=MEMBER)),
    ):
        with pytest.raises(Forbidden):
            await attempt


@pytest.mark.parametrize(
    "field, bad",
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 10_000}),
        ("team", {"team": "a\0b"}),
        ("rpm", {"limits": Limits(rpm=-1)}),
        ("models", {"models": ("m",) * 201}),
        ("expires_in_days", {"expires_at": 1.0}),
        ("expires_in_days", {"expires_at": 1e18}),
    ],
)
async def test_bad_keys_are_named_and_not_made(
    ledger: Client, field: str, bad: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field}: "):
        await create(ledger, **bad)
    assert (await ledger.bus.ask(LIST_KEYS, AskAsAdmin(principal=ADMIN))).keys == ()


async def test_a_name_is_given_once_until_its_key_is_revoked(ledger: Client) -> None:
    made = await create(ledger)
    with pytest.raises(Conflict, match="^name: "):
        await create(ledger)
    await act(ledger, made.key.id, "revoke")
    await create(ledger)


async def test_an_unknown_key_is_not_found(ledger: Client) -> None:
    for id in "key_0", "x" * 10_000, "☃":
        with pytest.raises(NotFound):
            await act(ledger, id, "rotate")

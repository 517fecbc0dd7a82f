from typing import Any

import pytest
from msgspec.structs import replace

from libs.common.contracts.spending import (
    LIST_PAUSES,
    PAUSE,
    PAUSED,
    AskAsAdmin,
    Pause,
    Paused_,
)
from libs.common.errors import Forbidden, InvalidRequest, Paused
from tests.ledger.support import ADMIN, MEMBER, Client, member, offer, until
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


async def pause(
    client: Client,
    scope: Any,
    scope_id: str,
    by: Any = ADMIN,
    paused: bool = True,
    reason: str = "",
) -> None:
    ask = Pause(principal=by, scope=scope, scope_id=scope_id, paused=paused, reason=reason)
    await client.bus.ask(PAUSE, ask)


@pytest.mark.parametrize(
    "scope, scope_id", [("key", MEMBER.key_id), ("user", "ann"), ("team", "core")]
)
async def test_what_is_paused_reserves_nothing_until_it_is_resumed(
    ledger: Client, scope: str, scope_id: str
) -> None:
    await pause(ledger, scope, scope_id, reason="runaway loop")
    with pytest.raises(Paused, match="runaway loop") as caught:
        await ledger.reserve("r1", offer(1))
    assert (caught.value.data["scope"], caught.value.data["scope_id"]) == (scope, scope_id)
    await ledger.reserve("r2", offer(1), by=replace(member(2), user="bob", team="other"))
    await pause(ledger, scope, scope_id, paused=False)
    await ledger.reserve("r1", offer(1))


async def test_a_member_pauses_its_own_run_and_no_other(ledger: Client) -> None:
    mine, other = replace(MEMBER, run="s1"), member(2, run="s1")
    await pause(ledger, "run", "s1", by=MEMBER)
    with pytest.raises(Paused):
        await ledger.reserve("r1", offer(1), by=mine)
    await ledger.reserve("r2", offer(1), by=other)
    await pause(ledger, "run", f"{other.key_id}/s1", by=ADMIN)
    with pytest.raises(Paused):
        await ledger.reserve("r3", offer(1), by=other)


async def test_a_pause_is_told_at_once_so_that_open_streams_end(ledger: Client) -> None:
    told: list[Paused_] = []

    async def hear(event: Paused_) -> None:
        told.append(event)

    await ledger.bus.listen(PAUSED, hear)
    await pause(ledger, "team", "core", reason="night")

    async def heard() -> bool:
        return bool(told)

    await until(heard)
    assert (told[0].scope, told[0].scope_id, told[0].paused) == ("team", "core", True)
    pauses = (await ledger.bus.ask(LIST_PAUSES, AskAsAdmin(principal=ADMIN))).pauses
    assert [(p.scope, p.scope_id, p.reason) for p in pauses] == [("team", "core", "night")]


async def test_a_pause_holds_while_the_store_is_away(ledger: Client, redis: Server) -> None:
    await pause(ledger, "key", MEMBER.key_id)
    redis.kill()
    with pytest.raises(Paused):
        await ledger.reserve("r1", offer(1))
    assert (await ledger.reserve("r2", offer(1), by=member(2))).degraded


async def test_members_pause_nobody_else(ledger: Client) -> None:
    for scope, scope_id in ("key", MEMBER.key_id), ("user", "ann"), ("team", "core"):
        with pytest.raises(Forbidden):
            await pause(ledger, scope, scope_id, by=MEMBER)


async def test_bad_pauses_are_named(ledger: Client) -> None:
    with pytest.raises(InvalidRequest, match="^scope_id: "):
        await pause(ledger, "key", "")
    with pytest.raises(InvalidRequest, match="^reason: "):
        await pause(ledger, "key", "k", reason="a\nb")

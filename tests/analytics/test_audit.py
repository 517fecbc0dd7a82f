"""The audit trail: complete, in one chain, and no change to it goes unseen."""

import asyncio
import time
from typing import Any

import msgspec
import pytest

from libs.common.bus import Bus
from libs.common.contracts.spending import AUDITED, Audit
from services.analytics.audit import Head, Trail, Verdict, chained, ended, walked
from services.analytics.store import Store
from tests.analytics.conftest import BOB, publish, report, until

pytestmark = pytest.mark.anyio


def entry(number: int, **fields: Any) -> Audit:
    given: dict[str, Any] = {"id": f"a{number}", "at": time.time(), "org": "default"}
    given |= {"actor": "key_root", "action": "budget.set", "target": "key_alice"}
    return Audit(**(given | {"detail": {"limit": "5", "scope": "key"}} | fields))


async def test_what_is_audited_is_reported_and_verified(bus: Bus, service: None) -> None:
    for number in range(3):
        await publish(bus, AUDITED, entry(number))
    await until(lambda: _has(bus, 3))
    rows = (await report(bus, "audit", action="budget.set"))["rows"]
    assert [row["seq"] for row in rows] == [3, 2, 1]
    assert rows[0]["detail"] == {"limit": "5", "scope": "key"}
    verdict = await report(bus, "audit", verify="true")
    assert (verdict["entries"], verdict["broken"]) == (3, "")


async def test_an_entry_told_twice_is_in_the_chain_once(bus: Bus, store: Store) -> None:
    trail = Trail(bus, store)
    await trail.append([entry(1), entry(2), entry(1)])
    await trail.append([entry(2), entry(3)])
    assert (await trail.head()).seq == 3


async def test_replicas_write_one_chain(bus: Bus, store: Store) -> None:
    trails = [Trail(bus, store), Trail(bus, store)]
    await asyncio.gather(
        *(trail.append([entry(10 * n + i)]) for i, trail in enumerate(trails) for n in range(4))
    )
    assert (await _verdict(trails[0], store)) == (8, "")


async def test_a_crash_between_head_and_rows_is_healed(bus: Bus, store: Store) -> None:
    trail = Trail(bus, store)
    await trail.append([entry(1)])
    await store.write("DELETE FROM audit WHERE seq = 1")
    await Trail(bus, store).append([entry(2)])
    assert (await _verdict(trail, store)) == (2, "")


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("ALTER TABLE audit UPDATE actor = 'nobody' WHERE seq = 2", "entry 2 was changed"),
        ("DELETE FROM audit WHERE seq = 2", "entry 3 does not follow entry 1"),
        ("DELETE FROM audit WHERE seq = 3", "the trail ends at entry 2, but its head says 3"),
    ],
)
async def test_a_change_is_seen(bus: Bus, store: Store, statement: str, fault: str) -> None:
    trail = Trail(bus, store)
    await trail.append([entry(number) for number in range(3)])
    await store.write(f"{statement} SETTINGS mutations_sync = 1")
    assert (await _verdict(trail, store))[1] == fault


async def test_members_do_not_see_the_trail(bus: Bus, service: None) -> None:
    with pytest.raises(Exception, match="administrator"):
        await report(bus, "audit", BOB, verify="true")


def test_a_chain_is_the_same_in_pieces() -> None:
    whole = chained(Head(), [entry(n, at=1.5) for n in range(4)])
    first = chained(Head(), [entry(n, at=1.5) for n in range(2)])
    second = chained(first, [entry(n, at=1.5) for n in range(2, 4)])
    assert (second.seq, second.hash) == (whole.seq, whole.hash)
    verdict = walked(walked(Verdict(), first.entries), second.entries)
    assert ended(verdict, whole).broken == ""


async def _has(bus: Bus, count: int) -> bool:
    return len((await report(bus, "audit"))["rows"]) == count


async def _verdict(trail: Trail, store: Store) -> tuple[int, str]:
    from services.analytics.reports.events import verified

    found = msgspec.convert(await verified(store, await trail.head()), Verdict)
    return found.entries, found.broken

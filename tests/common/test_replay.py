"""Reading a part of the journal, and how far a consumer has come."""

import pytest

from libs.common.bus import Bus
from libs.common.contracts.usage import USED, Usage
from libs.common.journal import Consumer
from libs.common.replay import Reached, reached, replay
from tests.common.test_consumer import tell, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("after", "until", "rows"),
    [(0, 0, "012345"), (0, 2, "01"), (2, 4, "23"), (4, 0, "45"), (4, 9, "45"), (6, 0, "")],
)
async def test_a_part_is_the_messages_behind_one_number_up_to_another(
    bus: Bus, after: int, until: int, rows: str
) -> None:
    await tell(bus, 6)
    found = [row async for batch in replay(bus, USED, after=after, until=until) for row in batch]
    assert [row.request_id for row in found] == [f"r{number}" for number in rows]


async def test_what_a_consumer_has_done_and_has_in_hand_is_told_apart(bus: Bus) -> None:
    assert await reached(bus, "test") == Reached(0, 0)
    await tell(bus, 3)
    first = Consumer(bus, "test", [USED], nothing)
    await first.start()

    async def done() -> bool:
        return await reached(bus, "test") == Reached(3, 3)

    await until(done)
    await first.stop()
    await tell(bus, 2)
    assert await reached(bus, "test") == Reached(3, 3)


async def nothing(_: list[Usage]) -> None: ...

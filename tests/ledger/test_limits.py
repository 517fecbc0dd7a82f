import time
from typing import Any

import pytest

from libs.common.contracts.identity import Limits
from libs.common.contracts.spending import (
    ADMIT,
    LIST_LIMITS,
    SET_LIMITS,
    Admit,
    AskAsAdmin,
    LimitEntry,
    SetLimits,
)
from libs.common.contracts.usage import Tokens
from libs.common.errors import Forbidden, InvalidRequest, LimitExceeded
from libs.common.settings.load import Loaded
from tests.ledger.conftest import replica
from tests.ledger.support import ADMIN, MEMBER, Client, member, offer, until

pytestmark = pytest.mark.anyio


async def limit(
    client: Client,
    scope: Any = "key",
    scope_id: str = MEMBER.key_id,
    by: Any = ADMIN,
    **limits: int,
) -> LimitEntry:
    ask = SetLimits(principal=by, scope=scope, scope_id=scope_id, limits=Limits(**limits))
    return await client.bus.ask(SET_LIMITS, ask)


class Hands:
    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


async def test_no_window_of_a_minute_holds_more_than_the_limit(
    loaded: Loaded, client: Client
) -> None:
    clock = Hands(1_800_000_000.0)
    admitted: list[float] = []
    async with replica(loaded, clock):
        for number in range(400):
            try:
                await client.reserve(f"r{number}", offer(1), limits=Limits(rpm=10))
                admitted.append(clock.at)
                clock.at += 0.5
            except LimitExceeded as error:
                clock.at += min(3.3, error.data["retry_after"])
    for first in admitted:
        assert len([at for at in admitted if first <= at < first + 60]) <= 10
    assert len(admitted) > 0.8 * 10 * (clock.at - 1_800_000_000) / 60


async def test_a_refusal_says_when_to_come_back_and_that_is_true(
    loaded: Loaded, client: Client
) -> None:
    clock = Hands(1_800_000_000.0)
    async with replica(loaded, clock):
        for number in range(3):
            await client.reserve(f"r{number}", offer(1), limits=Limits(rpm=3))
        with pytest.raises(LimitExceeded) as caught:
            await client.reserve("r4", offer(1), limits=Limits(rpm=3))
        data = caught.value.data
        assert (data["limit"], data["scope"], data["max"]) == ("rpm", "key", 3)
        assert data["headers"]["anthropic-ratelimit-requests-remaining"] == "0"
        assert data["headers"]["retry-after"] == str(data["retry_after"])
        clock.at += data["retry_after"]
        await client.reserve("r4", offer(1), limits=Limits(rpm=3))


async def test_what_is_left_is_told_under_our_own_names(ledger: Client) -> None:
    headers = (await ledger.reserve("r1", offer(1), limits=Limits(rpm=3, tpm=100))).rate_headers
    assert headers["x-modelmuxer-ratelimit-requests-remaining"] == "2"
    assert headers["x-modelmuxer-ratelimit-tokens-limit"] == "100"


async def test_tokens_are_estimated_at_entry_and_corrected_afterwards(ledger: Client) -> None:
    await limit(ledger, tpm=1000)
    await ledger.reserve("r1", offer(1), input_tokens=900)
    with pytest.raises(LimitExceeded) as caught:
        await ledger.reserve("r2", offer(1), input_tokens=200)
    assert caught.value.data["limit"] == "tpm"
    ledger.use("r1", 1, tokens=Tokens(input=100, cache_read=50, output=50))

    async def fits() -> bool:
        try:
            await ledger.reserve("r3", offer(1), input_tokens=800)
        except LimitExceeded:
            return False
        return True

    await until(fits)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("r4", offer(1), input_tokens=1)


async def test_a_request_larger_than_the_limit_has_a_minute_to_itself(ledger: Client) -> None:
    await limit(ledger, tpm=1000)
    await ledger.reserve("r1", offer(1), input_tokens=5000)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("r2", offer(1), input_tokens=1)


async def test_parallel_calls_are_counted_until_they_are_settled(ledger: Client) -> None:
    await limit(ledger, "user", "ann", concurrency=2)
    await ledger.reserve("r1", offer(1))
    await ledger.reserve("r2", offer(1))
    with pytest.raises(LimitExceeded) as caught:
        await ledger.reserve("r3", offer(1))
    assert (caught.value.data["limit"], caught.value.data["scope"]) == ("concurrency", "user")
    ledger.use("r1", 0)

    async def free() -> bool:
        try:
            return bool(await ledger.reserve("r3", offer(1)))
        except LimitExceeded:
            return False

    await until(free)


async def test_a_fallback_of_the_same_request_counts_no_second_time(ledger: Client) -> None:
    await limit(ledger, rpm=1)
    await ledger.reserve("r1", offer(1))
    await ledger.reserve("r1", offer(1), attempt=2)
    with pytest.raises(LimitExceeded):
        await ledger.reserve("r2", offer(1))


async def test_a_set_limit_wins_over_a_keys_own_over_the_default(ledger: Client) -> None:
    await limit(ledger, "default", "", rpm=1)
    await ledger.reserve("r1", offer(1), by=member(1))
    with pytest.raises(LimitExceeded):
        await ledger.reserve("r2", offer(1), by=member(1))
    for number in range(2):
        await ledger.reserve(f"o{number}", offer(1), by=member(2), limits=Limits(rpm=2))
    await limit(ledger, "key", "key_3", rpm=3)
    for number in range(3):
        await ledger.reserve(f"s{number}", offer(1), by=member(3), limits=Limits(rpm=2))
    await limit(ledger, "default", "")
    await ledger.reserve("r3", offer(1), by=member(1))


async def test_a_refused_request_changes_no_counter(ledger: Client) -> None:
    await ledger.budget(1000)
    await limit(ledger, "team", "core", rpm=1)
    await ledger.reserve("r1", offer(400))
    with pytest.raises(LimitExceeded):
        await ledger.reserve("r2", offer(400))
    assert await ledger.spent() == (0, 400)


async def test_limits_are_listed_and_removed_by_zeroes(ledger: Client) -> None:
    entry = await limit(ledger, "team", "core", rpm=5, tpm=6, concurrency=7)
    assert (await ledger.bus.ask(LIST_LIMITS, AskAsAdmin(principal=ADMIN))).limits == (entry,)
    await limit(ledger, "team", "core")
    assert (await ledger.bus.ask(LIST_LIMITS, AskAsAdmin(principal=ADMIN))).limits == ()


@pytest.mark.parametrize(
    "field, bad",
    [
        ("rpm", {"rpm": -1}),
        ("tpm", {"tpm": 10**12}),
        ("scope_id", {"scope_id": ""}),
        ("scope_id", {"scope": "default", "scope_id": "x"}),
        ("scope_id", {"scope_id": "x" * 10_000}),
    ],
)
async def test_bad_limits_are_named(ledger: Client, field: str, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field}: "):
        await limit(ledger, **bad)


async def test_members_set_no_limits(ledger: Client) -> None:
    with pytest.raises(Forbidden):
        await limit(ledger, by=MEMBER, rpm=5)
    with pytest.raises(Forbidden):
        await ledger.bus.ask(LIST_LIMITS, AskAsAdmin(principal=MEMBER))


async def test_an_editors_start_spends_nothing_of_the_messages_limit(ledger: Client) -> None:
    await limit(ledger, rpm=1)
    started = time.monotonic()
    for _ in range(50):
        await ledger.bus.ask(ADMIT, Admit(principal=MEMBER, bucket="count_tokens"))
    assert time.monotonic() - started < 1
    await ledger.reserve("r1", offer(1))


async def test_the_free_buckets_have_an_end_too(ledger: Client) -> None:
    with pytest.raises(LimitExceeded) as caught:
        for _ in range(601):
            await ledger.bus.ask(ADMIT, Admit(principal=MEMBER, bucket="models"))
    assert caught.value.data["limit"] == "models"
    assert 1 <= caught.value.data["retry_after"] <= 65

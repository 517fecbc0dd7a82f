from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from libs.common.contracts.spending import DELETE_BUDGET, DeleteBudget
from libs.common.errors import BudgetExceeded, Conflict, Forbidden, InvalidRequest, NotFound
from services.ledger import names
from tests.ledger.support import ADMIN, MEMBER, Client, member, offer
from tests.support.servers import Server

pytestmark = pytest.mark.anyio


async def test_what_is_reserved_is_given_back_when_the_cost_is_known(ledger: Client) -> None:
    await ledger.budget(1000)
    reservation = await ledger.reserve("r1", offer(600))
    assert (reservation.offer, reservation.reserved) == (0, 600)
    assert await ledger.spent() == (0, 600)
    ledger.use("r1", 250)
    await ledger.settled(250)


async def test_a_call_that_does_not_fit_is_refused_with_its_reasons(ledger: Client) -> None:
    await ledger.budget(1_000_000, clamp=False)
    await ledger.reserve("r1", offer(600_000))
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.reserve("r2", offer(600_000), offer(100_000, "small"))
    data = caught.value.data
    assert (data["scope"], data["scope_id"], data["window"]) == ("key", MEMBER.key_id, "daily")
    assert (data["limit"], data["spent"]) == ("1.000000", "0.000000")
    assert (data["reserved"], data["estimate"]) == ("0.600000", "0.600000")
    assert data["resets_at"].endswith("T00:00:00Z")
    assert [other["model"] for other in data["alternatives"]] == ["small"]


async def test_a_refusal_says_whether_a_budget_is_used_up_or_what_is_left(ledger: Client) -> None:
    await ledger.budget(1_000_000)
    with pytest.raises(BudgetExceeded, match=r"has \$1\.00 left: \$0.* may cost \$3\.00"):
        await ledger.reserve("r1", offer(3_000_000))
    ledger.use("r2", 1_000_000)
    await ledger.settled(1_000_000)
    with pytest.raises(BudgetExceeded, match=r"is used up: \$1\.00 of \$1\.00 spent") as caught:
        await ledger.reserve("r3", offer(3_000_000))
    assert "wait for the reset" in str(caught.value)


async def test_the_same_attempt_asked_again_gets_the_same_reservation(ledger: Client) -> None:
    await ledger.budget(1000)
    first = await ledger.reserve("r1", offer(600))
    assert (await ledger.reserve("r1", offer(600))).id == first.id
    assert await ledger.spent() == (0, 600)
    ledger.use("r1", 100)
    await ledger.settled(100)
    with pytest.raises(Conflict):
        await ledger.reserve("r1", offer(600))


async def test_a_block_budget_does_not_change_the_model(ledger: Client) -> None:
    await ledger.budget(1000, mode="block")
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("r1", offer(1001), offer(10))


async def test_a_downgrade_budget_takes_the_first_cheaper_offer_that_fits(ledger: Client) -> None:
    await ledger.budget(1000, mode="downgrade")
    offers = offer(5000), offer(6000, "dearer"), offer(900, "cheap"), offer(10, "cheapest")
    assert (await ledger.reserve("r1", *offers)).offer == 2


async def test_one_block_budget_among_others_keeps_the_model(ledger: Client) -> None:
    await ledger.budget(1000, mode="downgrade")
    await ledger.budget(1000, mode="block", window="monthly")
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.reserve("r1", offer(5000), offer(10, "cheap"))
    assert [other["model"] for other in caught.value.data["alternatives"]] == ["cheap"]


async def test_an_advise_budget_lets_through_and_says_so(ledger: Client) -> None:
    await ledger.budget(1000, mode="advise")
    assert not (await ledger.reserve("r1", offer(1000))).advised
    reservation = await ledger.reserve("r2", offer(5000))
    assert reservation.advised
    assert reservation.tightest and reservation.tightest.remaining == 0


async def test_near_the_limit_the_answer_is_shortened_before_it_is_refused(ledger: Client) -> None:
    await ledger.budget(500_000)
    long = offer(1_700_000, input_cost=100_000, output_price=25_000_000, max_tokens=64_000)
    reservation = await ledger.reserve("r1", long)
    assert (reservation.max_tokens, reservation.reserved) == (16_000, 500_000)
    ledger.use("r1", 450_000)
    await ledger.settled(450_000)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("r2", long)


async def test_an_answer_is_never_shortened_below_its_floor_or_where_that_is_off(
    ledger: Client,
) -> None:
    await ledger.budget(500_000)
    long = offer(1_700_000, input_cost=100_000, output_price=25_000_000, max_tokens=64_000)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("r1", long, floor=16_001)
    await ledger.budget(500_000, clamp=False)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("r2", long)


async def test_a_cheaper_model_comes_before_a_shorter_answer(ledger: Client) -> None:
    await ledger.budget(500_000, mode="downgrade")
    long = offer(1_700_000, input_cost=100_000, output_price=25_000_000, max_tokens=64_000)
    reservation = await ledger.reserve("r1", long, offer(400_000, "cheap"))
    assert (reservation.offer, reservation.max_tokens) == (1, 0)


async def test_every_scope_that_applies_must_have_room(ledger: Client) -> None:
    for scope, scope_id in ("org", "default"), ("team", "core"), ("user", "ann"):
        await ledger.budget(1000, scope=scope, scope_id=scope_id)
        with pytest.raises(BudgetExceeded) as caught:
            await ledger.reserve(scope, offer(1001))
        assert caught.value.data["scope"] == scope
        await ledger.budget(9000, scope=scope, scope_id=scope_id)
    await ledger.reserve("r1", offer(1001))
    assert [state.reserved for state in await ledger.states()] == [1001] * 3


async def test_a_run_belongs_to_its_key(ledger: Client) -> None:
    mine, other = replace(MEMBER, run="s1"), member(2, run="s1")
    await ledger.budget(100, by=mine, scope="run", scope_id="s1", window="total")
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("r1", offer(101), by=mine)
    await ledger.reserve("r2", offer(101), by=other)
    await ledger.reserve("r3", offer(101), by=replace(MEMBER, run="s2"))


async def test_a_request_may_cap_itself(ledger: Client) -> None:
    assert (await ledger.reserve("r1", offer(500), offer(90), cap=100)).offer == 1
    with pytest.raises(BudgetExceeded) as caught:
        await ledger.reserve("r2", offer(500), cap=100)
    assert caught.value.data["scope"] == "request"


async def test_what_was_spent_before_a_budget_was_set_counts(ledger: Client) -> None:
    await ledger.budget(1000, window="monthly")
    await ledger.reserve("r1", offer(600))
    ledger.use("r1", 600)
    await ledger.settled(600)
    state = await ledger.budget(1000, window="daily")
    assert (state.spent, state.remaining) == (600, 400)


async def test_a_deleted_and_repeated_budget_does_not_forget_what_was_spent(
    ledger: Client,
) -> None:
    state = await ledger.budget(1000, by=MEMBER, scope_id="")
    await ledger.reserve("r1", offer(900))
    await ledger.bus.ask(DELETE_BUDGET, DeleteBudget(principal=MEMBER, id=state.budget.id))
    assert await ledger.states() == ()
    await ledger.reserve("r2", offer(900))
    again = await ledger.budget(1000, by=MEMBER, scope_id="")
    assert again.reserved == 1800


async def test_the_tightest_budget_is_told_with_every_reservation(ledger: Client) -> None:
    await ledger.budget(10_000, scope="team", scope_id="core", window="monthly")
    await ledger.budget(1000)
    tightest = (await ledger.reserve("r1", offer(100))).tightest
    assert tightest and (tightest.scope, tightest.window, tightest.remaining) == (
        "key",
        "daily",
        900,
    )


async def test_members_set_their_own_budgets_and_only_tighten_an_administrators(
    ledger: Client,
) -> None:
    await ledger.budget(1000, by=MEMBER, scope_id="")
    await ledger.budget(2000, by=MEMBER, scope_id="")
    await ledger.budget(3000, by=ADMIN)
    with pytest.raises(Forbidden, match="budget_limit"):
        await ledger.budget(3001, by=MEMBER)
    with pytest.raises(Forbidden, match="budget_limit"):
        await ledger.budget(100, by=MEMBER, mode="advise")
    assert (await ledger.budget(100, by=MEMBER)).budget.owner == "admin"
    with pytest.raises(Forbidden):
        await ledger.budget(101, by=MEMBER)


@pytest.mark.parametrize(
    "scope, scope_id", [("org", ""), ("team", "core"), ("user", "ann"), ("key", "key_other")]
)
async def test_members_set_nothing_beyond_their_key(
    ledger: Client, scope: str, scope_id: str
) -> None:
    with pytest.raises(Forbidden, match="admin key"):
        await ledger.budget(1, by=MEMBER, scope=scope, scope_id=scope_id)
    assert await ledger.states(ADMIN, all=True) == ()


async def test_an_administrators_budget_that_redis_has_lost_still_binds_members(
    ledger: Client, redis: Server
) -> None:
    id = (await ledger.budget(1000)).budget.id
    async with Redis.from_url(redis.url) as store:
        assert await store.hdel(names.tenant(MEMBER.org, "budgets"), id)
    with pytest.raises(Forbidden, match="an administrator set"):
        await ledger.budget(1001, by=MEMBER)
    with pytest.raises(Forbidden, match="set by an administrator"):
        await ledger.bus.ask(DELETE_BUDGET, DeleteBudget(principal=MEMBER, id=id))
    assert (await ledger.budget(999, by=MEMBER)).budget.owner == "admin"


async def test_members_delete_only_what_they_set(ledger: Client) -> None:
    state = await ledger.budget(1000)
    with pytest.raises(Forbidden):
        await ledger.bus.ask(DELETE_BUDGET, DeleteBudget(principal=MEMBER, id=state.budget.id))
    with pytest.raises(NotFound):
        await ledger.bus.ask(DELETE_BUDGET, DeleteBudget(principal=member(2), id=state.budget.id))
    await ledger.bus.ask(DELETE_BUDGET, DeleteBudget(principal=ADMIN, id=state.budget.id))


@pytest.mark.parametrize(
    "field, bad",
    [
        ("budget_limit", {"limit": 0}),
        ("budget_limit", {"limit": -5}),
        ("budget_limit", {"limit": 2**62}),
        ("alert_thresholds", {"thresholds": (80.0, 50.0)}),
        ("alert_thresholds", {"thresholds": (50.0, 50.0)}),
        ("alert_thresholds", {"thresholds": (0.0,)}),
        ("alert_thresholds", {"thresholds": (101.0,)}),
        ("alert_thresholds", {"thresholds": tuple(map(float, range(1, 20)))}),
        ("scope_id", {"scope": "team", "scope_id": "x" * 10_000}),
        ("scope_id", {"scope": "team", "scope_id": "a\nb"}),
        ("scope_id", {"scope": "team", "scope_id": ""}),
        ("scope_id", {"scope": "org", "scope_id": "other"}),
        ("scope_id", {"scope": "run", "scope_id": ""}),
    ],
)
async def test_bad_budgets_are_named_and_change_nothing(
    ledger: Client, field: str, bad: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field}: "):
        await ledger.budget(**{"limit": 1000} | bad)
    assert await ledger.states(ADMIN, all=True) == ()


async def test_names_may_be_of_any_script(ledger: Client) -> None:
    team = "équipe ☃ 東京 {x} *"
    await ledger.budget(100, scope="team", scope_id=team)
    with pytest.raises(BudgetExceeded):
        await ledger.reserve("r1", offer(101), by=replace(MEMBER, team=team))


async def test_five_dollars_a_day_carry_an_agent_session_to_its_last_cents(
    ledger: Client,
) -> None:
    """Each call may answer with 64 000 tokens at 25 USD per million, and costs about 6 cents."""
    await ledger.budget(5_000_000)
    long = offer(1_650_000, input_cost=50_000, output_price=25_000_000, max_tokens=64_000)
    spent = calls = clamped = 0
    while True:
        try:
            reservation = await ledger.reserve(f"c{calls}", long)
        except BudgetExceeded:
            break
        clamped += bool(reservation.max_tokens)
        cost = min(reservation.reserved, 61_000 + 137 * calls)
        ledger.use(f"c{calls}", cost)
        spent, calls = spent + cost, calls + 1
        await ledger.settled(spent)
    assert 4_800_000 < spent <= 5_000_000
    assert clamped > 10
    assert (await ledger.states())[0].passed == (50, 80, 95)

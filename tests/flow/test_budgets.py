"""Budgets and costs by the guide's own calls."""

from typing import Any

import pytest

from tests.flow.asks import SMALL, ask
from tests.support.provider import Provider, say
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
GUIDE = {"budget_type": "daily", "budget_limit": 5.0, "alert_thresholds": [50, 80, 95]}
KEYS = """
[keys.first]
key = "sk-mm-first-000000000000001"
routing = "respect"
pii = "off"
[keys.second]
key = "sk-mm-second-00000000000002"
routing = "respect"
pii = "off"
[keys.third]
key = "sk-mm-third-000000000000003"
routing = "respect"
pii = "off"
rpm = 3
"""


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": KEYS}


async def budget(mux: Stack, key: str) -> dict[str, Any]:
    async with mux.http(**{"x-api-key": key}) as http:
        found: dict[str, Any] = (await http.get("/v1/analytics/budgets")).json()["budgets"][0]
    return found


async def test_the_guides_budget_is_set_and_read(mux: Stack, provider: Provider) -> None:
    key = "sk-mm-first-000000000000001"
    async with mux.http(**{"x-api-key": key}) as http:
        answer = await http.post("/v1/analytics/budgets", json=GUIDE)
        assert answer.status_code == 200, answer.text
        await http.post("/v1/messages", json=ask("spend"))
    await mux.rows(1)
    for _ in range(100):
        found = await budget(mux, key)
        if found["spent"] != "0.000000":
            break
    assert found["budget_type"] == "daily" and found["limit"] == "5.000000"
    assert found["spent"] == f"{provider.bill.total / 1e6:.6f}" and found["reserved"] == "0.000000"


async def test_an_empty_budget_is_refused_before_the_provider_is_called(
    mux: Stack, provider: Provider
) -> None:
    key = "sk-mm-second-00000000000002"
    async with mux.http(**{"x-api-key": key}) as http:
        await http.post("/v1/analytics/budgets", json=GUIDE | {"budget_limit": 0.000001})
        answer = await http.post("/v1/messages", json=SMALL)
    assert answer.status_code == 402 and answer.headers["x-should-retry"] == "false"
    error = answer.json()["error"]
    assert error["type"] == "billing_error" and "daily" in error["message"]
    assert not provider.calls


@pytest.mark.parametrize(
    "change, field",
    [
        ({"budget_type": "yearly"}, "budget_type"),
        ({"budget_limit": -1}, "budget_limit"),
        ({"budget_limit": "much"}, "budget_limit"),
        ({"budget_limit": None}, "budget_limit"),
        ({"alert_thresholds": "all"}, "alert_thresholds"),
        ({"budgetlimit": 5}, "budgetlimit"),
    ],
)
async def test_a_wrong_budget_names_its_field(
    mux: Stack, change: dict[str, Any], field: str
) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/analytics/budgets", json=GUIDE | change)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


async def test_the_fourth_request_of_a_minute_waits(mux: Stack, provider: Provider) -> None:
    provider.always = say("x")
    async with mux.http(**{"x-api-key": "sk-mm-third-000000000000003"}) as http:
        answers = [await http.post("/v1/messages", json=SMALL) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    # A little more than a minute at most, so that not all come back at once.
    assert 0 < float(answers[3].headers["retry-after"]) <= 75
    assert answers[3].json()["error"]["type"] == "rate_limit_error"
    assert len(provider.calls) == 3

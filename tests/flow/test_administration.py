"""The admin API and the order in which a request is refused: bad input changes nothing."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.flow.asks import ask
from tests.support.provider import Provider
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
MORE = """
[keys.narrow]
key = "sk-mm-narrow-00000000000001"
routing = "respect"
models = ["claude-haiku-*"]
rpm = 1
"""
NARROW = "sk-mm-narrow-00000000000001"
BUDGETS, KEYS = "/v1/analytics/budgets", "/v1/admin/keys"
LIMITS, PAUSES = "/v1/admin/limits", "/v1/admin/pauses"
LISTS = (BUDGETS, KEYS, LIMITS, PAUSES)
BUDGET = {"budget_type": "daily", "budget_limit": 5, "scope": "team", "scope_id": "t"}
LIMIT = {"scope": "team", "scope_id": "t", "rpm": 5}
LONG = "x" * 10_000


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": MORE}


@pytest.fixture
async def admin(mux: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with mux.http("admin") as http:
        yield http


async def everything(admin: httpx.AsyncClient) -> list[Any]:
    return [(await admin.get(path)).json() for path in LISTS]


BAD = [
    (BUDGETS, BUDGET | {"budget_limit": -1}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": 0}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": "NaN"}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": "Infinity"}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": 1e300}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": "1" * 5000}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": "five"}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": True}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": [5]}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_limit": 0.0000001}, "budget_limit"),
    (BUDGETS, BUDGET | {"budget_type": "yearly"}, "budget_type"),
    (BUDGETS, BUDGET | {"budget_type": ["daily"]}, "budget_type"),
    (BUDGETS, BUDGET | {"scope": "planet"}, "scope"),
    (BUDGETS, BUDGET | {"scope_id": LONG}, "scope_id"),
    (BUDGETS, BUDGET | {"scope_id": ""}, "scope_id"),
    (BUDGETS, BUDGET | {"scope_id": 7}, "scope_id"),
    (BUDGETS, BUDGET | {"scope_id": "a\u0000b"}, "scope_id"),
    (BUDGETS, BUDGET | {"alert_thresholds": [80, 50]}, "alert_thresholds"),
    (BUDGETS, BUDGET | {"alert_thresholds": [50, 50]}, "alert_thresholds"),
    (BUDGETS, BUDGET | {"alert_thresholds": [0, 50]}, "alert_thresholds"),
    (BUDGETS, BUDGET | {"alert_thresholds": [50, 101]}, "alert_thresholds"),
    (BUDGETS, BUDGET | {"alert_thresholds": ["half"]}, "alert_thresholds"),
    (BUDGETS, BUDGET | {"mode": "explode"}, "mode"),
    (BUDGETS, BUDGET | {"clamp": "yes"}, "clamp"),
    (BUDGETS, BUDGET | {"budget_limitt": 5}, "budget_limitt"),
    (KEYS, {}, "name"),
    (KEYS, {"name": LONG}, "name"),
    (KEYS, {"name": "x", "rpm": -1}, "rpm"),
    (KEYS, {"name": "x", "tpm": "many"}, "tpm"),
    (KEYS, {"name": "x", "concurrency": 1.5}, "concurrency"),
    (KEYS, {"name": "x", "expires_in_days": -1}, "expires_in_days"),
    (KEYS, {"name": "x", "routing": "fast"}, "routing"),
    (KEYS, {"name": "x", "models": "claude-*"}, "models"),
    (KEYS, {"name": "x", "admin": "yes"}, "admin"),
    (KEYS, {"name": "x", "team": LONG}, "team"),
    (LIMITS, LIMIT | {"scope": "org"}, "scope"),
    (LIMITS, LIMIT | {"scope_id": LONG}, "scope_id"),
    (LIMITS, LIMIT | {"scope_id": ""}, "scope_id"),
    (LIMITS, LIMIT | {"rpm": -5}, "rpm"),
    (LIMITS, LIMIT | {"tpm": 10**13}, "tpm"),
    (PAUSES, {"scope": "planet", "scope_id": "t"}, "scope"),
    (PAUSES, {"scope": "team"}, "scope_id"),
    (PAUSES, {"scope": "team", "scope_id": LONG}, "scope_id"),
    (PAUSES, {"scope": "team", "scope_id": "t", "paused": "no"}, "paused"),
]


@pytest.mark.parametrize(("path", "form", "field"), BAD)
async def test_a_wrong_field_is_named_and_nothing_changes(
    admin: httpx.AsyncClient, path: str, form: dict[str, Any], field: str
) -> None:
    before = await everything(admin)
    answer = await admin.post(path, json=form)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error"), answer.text
    assert error["message"].startswith(f"{field}:"), error
    assert len(error["message"]) < 400 and answer.headers["x-should-retry"] == "false"
    assert await everything(admin) == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"budget_limit": NaN}'])
@pytest.mark.parametrize("path", LISTS)
async def test_what_is_no_json_object_is_refused(
    admin: httpx.AsyncClient, path: str, body: bytes
) -> None:
    answer = await admin.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", LISTS)
async def test_a_wrong_key_and_a_members_key_change_nothing(
    mux: Stack, admin: httpx.AsyncClient, path: str
) -> None:
    form = {BUDGETS: BUDGET, KEYS: {"name": "x"}, LIMITS: LIMIT}.get(
        path, {"scope": "team", "scope_id": "t"}
    )
    before = await everything(admin)
    async with mux.http("plain") as member, mux.http(**{"x-api-key": "sk-wrong"}) as nobody:
        answers = [await member.post(path, json=form), await nobody.post(path, json=form)]
    assert [answer.status_code for answer in answers] == [403, 401]
    kinds = [answer.json()["error"]["type"] for answer in answers]
    assert kinds == ["permission_error", "authentication_error"]
    assert await everything(admin) == before


async def test_what_is_not_there_is_not_found(admin: httpx.AsyncClient) -> None:
    for id in ("key_0", "☃", "x" * 5000):
        for answer in (
            await admin.delete(f"{KEYS}/{id}"),
            await admin.post(f"{KEYS}/{id}/rotate", json={}),
            await admin.delete(f"{BUDGETS}/{id}"),
        ):
            assert answer.status_code == 404, answer.text
            assert answer.json()["error"]["type"] == "not_found_error"


async def test_a_name_that_is_taken_is_a_conflict(admin: httpx.AsyncClient) -> None:
    assert (await admin.post(KEYS, json={"name": "twice"})).status_code == 201
    again = await admin.post(KEYS, json={"name": "twice"})
    assert again.status_code == 409 and "twice" in again.json()["error"]["message"]


async def test_the_same_budget_again_replaces_the_first(admin: httpx.AsyncClient) -> None:
    for limit in (5, 7):
        form = BUDGET | {"scope_id": "équipe ☃ 東京", "budget_limit": limit}
        assert (await admin.post(BUDGETS, json=form)).status_code == 200
    found = (await admin.get(BUDGETS, params={"scope": "team", "scope_id": "équipe ☃ 東京"})).json()
    assert [budget["limit"] for budget in found["budgets"]] == ["7.000000"]
    assert (await admin.delete(f"{BUDGETS}/{found['budgets'][0]['id']}")).status_code == 200


async def test_a_request_is_refused_for_the_first_reason_in_order(
    mux: Stack, provider: Provider
) -> None:
    """401 key, 400 request, 403 policy, 429 limit, 402 budget, whatever else is wrong too."""
    haiku = ask(model="claude-haiku-4-5")
    async with mux.http(**{"x-api-key": NARROW}) as http:
        assert (await http.post("/v1/messages", json=haiku)).status_code == 200
        tiny = {"budget_type": "daily", "budget_limit": 0.000001}
        await http.post(BUDGETS, json=tiny)
        bad = {"model": "claude-opus-4-8", "max_tokens": "x", "messages": []}
        nobody = {"x-api-key": "sk-wrong"}
        answers = [
            await http.post("/v1/messages", json=bad, headers=nobody),
            await http.post("/v1/messages", json=bad),
            await http.post("/v1/messages", json=ask(model="claude-opus-4-8")),
            await http.post("/v1/messages", json=haiku),
        ]
        async with mux.http("admin") as admin:
            limit = {"scope": "key", "scope_id": await own_id(http), "rpm": 1000}
            assert (await admin.post(LIMITS, json=limit)).status_code == 200
        answers.append(await http.post("/v1/messages", json=haiku))
    assert [answer.status_code for answer in answers] == [401, 400, 403, 429, 402]
    assert len(provider.messages) == 1


async def own_id(http: httpx.AsyncClient) -> str:
    return str((await http.get(BUDGETS)).json()["budgets"][0]["scope_id"])

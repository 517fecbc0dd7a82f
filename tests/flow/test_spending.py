"""What a client sees of its budgets and limits: headers, refusals, figures, and what stops it."""

import asyncio
import time
from itertools import count
from typing import Any

import httpx
import pytest

from tests.flow.asks import ask, streamed
from tests.support.provider import Provider, Scene, say
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
NAMES = count()
LIMITS = """
[keys.parallel]
key = "sk-mm-parallel-000000000001"
user = "parallel"
routing = "respect"
concurrency = 1
[keys.middling]
key = "sk-mm-middling-000000000001"
routing = "respect"
routing_max = "within-family"
pii = "off"
[keys.team]
key = "sk-mm-teammate-000000000001"
team = "narrow"
routing = "respect"
[ledger.teams.narrow]
tpm = 3000
[[routing.rules]]
team = "ruled"
routing = "respect"
[pii.entities]
EMAIL = "block"
"""


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": LIMITS}


@pytest.fixture
async def secret(mux: Stack) -> str:
    """A key that no other test spends from."""
    return str((await make_key(mux))["secret"])


async def make_key(mux: Stack, **more: Any) -> dict[str, Any]:
    form = {"name": f"spender{next(NAMES)}", "routing": "respect", "pii": "off"} | more
    async with mux.http("admin") as http:
        made = await http.post("/v1/admin/keys", json=form)
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found | {"secret": found["secret"], "id": found["key"]["id"]}


async def set_budget(http: httpx.AsyncClient, usd: str, **more: Any) -> dict[str, Any]:
    form = {"budget_type": "daily", "budget_limit": usd} | more
    answer = await http.post("/v1/analytics/budgets", json=form)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def budget(http: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get("/v1/analytics/budgets")).json()["budgets"][0]
    return found


async def settled(http: httpx.AsyncClient, seconds: float = 5.0) -> dict[str, Any]:
    """The budget, once nothing is reserved any more."""
    deadline = time.monotonic() + seconds
    while (found := await budget(http))["reserved"] != "0.000000":
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)
    return found


@pytest.mark.parametrize("stream", [False, True])
async def test_every_answer_says_what_is_left(
    mux: Stack, provider: Provider, secret: str, stream: bool
) -> None:
    async with mux.http(**{"x-api-key": secret}) as http:
        await set_budget(http, "5")
        await http.post("/v1/messages", json=ask())
        state = await settled(http)
        said = (await http.post("/v1/messages", json=ask(stream=stream))).headers
    assert said["x-modelmuxer-budget-scope"] == f"key:{state['scope_id']}:daily"
    assert 4.9 < float(said["x-modelmuxer-budget-remaining-usd"]) < float(state["remaining"])
    assert float(said["x-modelmuxer-budget-percent"]) == pytest.approx(state["percent"], abs=0.01)
    assert 0 < float(said["x-modelmuxer-cost-estimate-usd"]) < 0.1


async def test_a_budget_is_shown_with_everything_about_it(mux: Stack, secret: str) -> None:
    async with mux.http(**{"x-api-key": secret}) as http:
        await set_budget(http, "5.00", alert_thresholds=[50, 80, 95])
        state = await budget(http)
    shown = ("budget_type", "scope", "limit", "spent", "reserved", "remaining", "percent")
    assert [state[name] for name in shown] == [
        "daily", "key", "5.000000", "0.000000", "0.000000", "5.000000", 0.0,
    ]  # fmt: skip
    assert state["resets_at"].endswith("T00:00:00Z")
    assert (state["alert_thresholds"], state["thresholds_passed"]) == ([50, 80, 95], [])


async def test_a_budget_that_is_set_is_answered_as_it_is_listed(mux: Stack, secret: str) -> None:
    async with mux.http(**{"x-api-key": secret}) as http:
        said = await set_budget(http, "5.00")
        listed = await budget(http)
    assert said.pop("budgets") == [listed] == [said]


async def test_a_cost_shows_in_the_budget_within_a_second(
    mux: Stack, provider: Provider, secret: str
) -> None:
    async with mux.http(**{"x-api-key": secret}) as http:
        await set_budget(http, "5")
        await http.post("/v1/messages", json=ask())
        began = time.monotonic()
        state = await settled(http)
    assert time.monotonic() - began < 1.0
    assert state["spent"] == f"{provider.bill.total / 1e6:.6f}" != "0.000000"


@pytest.mark.parametrize("routing", ["auto", "respect"])
async def test_a_refusal_names_budget_estimate_reset_and_what_would_fit(
    mux: Stack, provider: Provider, routing: str
) -> None:
    key = await make_key(mux, routing=routing)
    body = ask("Prove that this function halts.", model="claude-opus-4-8", max_tokens=3000)
    async with mux.http(**{"x-api-key": key["secret"]}) as http:
        await set_budget(http, "0.004")
        answer = await http.post("/v1/messages", json=body)
    error, details = answer.json()["error"], answer.json()["error"]["details"]
    assert (answer.status_code, error["type"]) == (402, "billing_error")
    assert answer.headers["x-should-retry"] == "false" and not provider.calls
    for word in ("daily", key["id"], "$0.004", details["resets_at"]):
        assert word in error["message"], error["message"]
    assert (details["status"], details["title"]) == (402, "budget exceeded")
    assert float(details["estimate"]) > 0.004
    assert all(float(other["estimate"]) <= 0.004 for other in details["alternatives"])
    assert "claude-haiku-5-5" in [other["model"] for other in details["alternatives"]]


async def test_what_is_refused_for_its_content_leaves_nothing_reserved(
    mux: Stack, provider: Provider
) -> None:
    key = await make_key(mux, pii="on")
    async with mux.http(**{"x-api-key": key["secret"]}) as http:
        await set_budget(http, "5")
        answer = await http.post("/v1/messages", json=ask("Mail ada.lovelace@gmx.net please"))
        state = await settled(http)
    assert answer.status_code == 400 and "EMAIL" in answer.text
    assert state["spent"] == "0.000000" and not provider.calls


async def test_a_client_that_leaves_at_any_moment_before_the_answer_leaves_nothing_reserved(
    mux: Stack, provider: Provider, secret: str
) -> None:
    provider.always = say(first=30.0)
    async with mux.http(**{"x-api-key": secret}) as http:
        await set_budget(http, "5")
        for milliseconds in range(1, 31):
            with pytest.raises(httpx.ReadTimeout):
                await http.post("/v1/messages", json=ask(), timeout=patience(milliseconds))
        await provider.idle()
        await asyncio.sleep(0.5)
        state = await settled(http)
    rows = [row for row in await mux.rows(0) if row.principal.key_id == state["scope_id"]]
    assert state["spent"] == f"{sum(row.cost for row in rows) / 1e6:.6f}"
    assert not [row for row in rows if row.outcome == "reconciled"]


def patience(milliseconds: int) -> httpx.Timeout:
    return httpx.Timeout(10, read=milliseconds / 1000)


async def test_near_its_limit_an_answer_is_shortened_and_that_is_said(
    mux: Stack, provider: Provider, secret: str
) -> None:
    async with mux.http(**{"x-api-key": secret}) as http:
        await set_budget(http, "0.06")
        answer = await http.post("/v1/messages", json=ask(max_tokens=16_000))
    assert answer.status_code == 200
    clamped = int(answer.headers["x-modelmuxer-max-tokens-clamped"])
    assert 4096 <= clamped == provider.last.json["max_tokens"] < 16_000


@pytest.mark.parametrize(
    ("routing", "widest", "wanted", "in_force"),
    [
        ("auto", "", "respect", "respect"),
        ("auto", "", "", "auto"),
        ("respect", "", "auto", "respect"),
        ("respect", "auto", "", "respect"),
        ("respect", "auto", "auto", "auto"),
        ("respect", "within-family", "auto", "within-family"),
        ("within-family", "auto", "respect", "respect"),
    ],
)
async def test_a_request_is_routed_as_it_asks_up_to_what_its_key_allows(
    mux: Stack, provider: Provider, routing: str, widest: str, wanted: str, in_force: str
) -> None:
    key = await make_key(mux, routing=routing, routing_max=widest)
    opus = ask("What is the capital of France?", model="claude-opus-4-8")
    wish = {"x-modelmuxer-routing": wanted} if wanted else {}
    async with mux.http(**{"x-api-key": key["secret"]} | wish) as http:
        answer = await http.post("/v1/messages", json=opus)
    served = "claude-opus-4-8" if in_force == "respect" else "claude-haiku-5-5"
    assert answer.headers["x-modelmuxer-model"] == served
    assert answer.headers["x-modelmuxer-routing"] == in_force


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/route"])
async def test_a_key_of_the_settings_has_a_widest_mode_too(
    mux: Stack, provider: Provider, path: str
) -> None:
    own = {"x-api-key": "sk-mm-middling-000000000001", "x-modelmuxer-routing": "auto"}
    async with mux.http(**own) as http:
        answer = await http.post(path, json=ask())
    told = answer.json() if path == "/v1/route" else {}
    assert told.get("routing") or answer.headers["x-modelmuxer-routing"] == "within-family"
    assert told.get("routing", "within-family") == "within-family"


async def test_a_refusal_says_the_mode_and_an_unknown_one_is_refused(
    mux: Stack, provider: Provider
) -> None:
    key = await make_key(mux, routing="respect", routing_max="auto", models=["claude-haiku-*"])
    async with mux.http(**{"x-api-key": key["secret"], "x-modelmuxer-routing": "auto"}) as http:
        refused = await http.post("/v1/messages", json=ask())
        wrong = await http.post(
            "/v1/messages", json=ask(), headers={"x-modelmuxer-routing": "wide"}
        )
    assert (refused.status_code, refused.headers["x-modelmuxer-routing"]) == (403, "auto")
    assert wrong.status_code == 400 and "x-modelmuxer-routing" in wrong.text


async def test_a_rule_outranks_what_the_request_asks_for(mux: Stack, provider: Provider) -> None:
    key = await make_key(mux, routing="auto", team="ruled")
    async with mux.http(**{"x-api-key": key["secret"], "x-modelmuxer-routing": "auto"}) as http:
        answer = await http.post("/v1/messages", json=ask(model="claude-opus-4-8"))
    assert answer.headers["x-modelmuxer-routing"] == "respect"
    assert answer.headers["x-modelmuxer-model"] == "claude-opus-4-8"


async def test_a_widest_mode_narrower_than_the_keys_own_is_refused_by_name(mux: Stack) -> None:
    form = {"name": "narrow", "routing": "auto", "routing_max": "respect"}
    async with mux.http("admin") as http:
        answer = await http.post("/v1/admin/keys", json=form)
        known = {key["name"]: key for key in (await http.get("/v1/admin/keys")).json()["keys"]}
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("routing_max: 'respect' is narrower")
    assert "narrow" not in known


async def test_calls_at_once_are_limited_and_come_back_soon(mux: Stack, provider: Provider) -> None:
    provider.script(say("word " * 40, deltas=40, delay=0.05))
    async with mux.http(**{"x-api-key": "sk-mm-parallel-000000000001"}) as http:
        first = asyncio.create_task(http.post("/v1/messages", json=streamed()))
        await provider.arrived()
        second = await http.post("/v1/messages", json=ask())
        assert (await first).status_code == 200
        assert second.status_code == 429 and second.headers["retry-after"] == "1"
        assert second.json()["error"]["details"]["limit"] == "concurrency"
        await asyncio.sleep(0.2)
        assert (await http.post("/v1/messages", json=ask())).status_code == 200


async def test_tokens_of_a_team_are_limited(mux: Stack, provider: Provider) -> None:
    provider.always = say(usage={"input": 2500})
    long = ask("word " * 1500)
    async with mux.http(**{"x-api-key": "sk-mm-teammate-000000000001"}) as http:
        answers = [await http.post("/v1/messages", json=long) for _ in range(2)]
    refused = answers[1]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert refused.headers["anthropic-ratelimit-tokens-limit"] == "3000"
    assert 0 < int(refused.headers["retry-after"]) <= 75
    assert "team narrow" in refused.json()["error"]["message"]


@pytest.mark.parametrize("scope", ["key", "user", "team", "default"])
async def test_an_administrators_limit_holds_at_once(
    mux: Stack, provider: Provider, scope: str
) -> None:
    key = await make_key(mux, user=f"user of {scope}", team=f"team of {scope}")
    id = {"key": key["id"], "default": ""}.get(scope, f"{scope} of {scope}")
    limit = {"scope": scope, "scope_id": id, "rpm": 2}
    async with mux.http("admin") as admin, mux.http(**{"x-api-key": key["secret"]}) as http:
        assert (await admin.post("/v1/admin/limits", json=limit)).status_code == 200
        limits = (await admin.get("/v1/admin/limits")).json()["limits"]
        statuses = [(await http.post("/v1/messages", json=ask())).status_code for _ in range(3)]
        await admin.post("/v1/admin/limits", json=limit | {"rpm": 0})
        assert (await http.post("/v1/messages", json=ask())).status_code == 200
    assert limit | {"tpm": 0, "concurrency": 0} in limits
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("scope", ["run", "key", "user", "team"])
async def test_a_pause_ends_open_streams_and_what_they_cost_is_booked(
    mux: Stack, provider: Provider, scope: str
) -> None:
    key = await make_key(mux, user="paused user", team="paused team")
    id = {"run": f"{key['id']}/r-1", "key": key["id"]}.get(scope, f"paused {scope}")
    pause = {"scope": scope, "scope_id": id, "reason": "runaway"}
    provider.script(say("word " * 300, deltas=300, delay=0.05))
    before = len(await mux.rows(0))
    own = {"x-api-key": key["secret"], "x-modelmuxer-run-id": "r-1"}
    async with mux.http("admin") as admin, mux.http(**own) as http:
        stream = asyncio.create_task(http.post("/v1/messages", json=streamed()))
        await provider.arrived()
        await asyncio.sleep(0.2)
        await admin.post("/v1/admin/pauses", json=pause)
        text = (await stream).text
        refused = await http.post("/v1/messages", json=ask())
        await admin.post("/v1/admin/pauses", json=pause | {"paused": False})
        assert (await http.post("/v1/messages", json=ask())).status_code == 200
    row = (await mux.rows(before + 1))[before]
    assert text.count("event: error") == 1 and "runaway" in text
    assert (refused.status_code, refused.headers["x-should-retry"]) == (403, "false")
    assert row.cost > 0 and row.reserved >= row.cost


SHORT: Scene = say("one two three", deltas=3, delay=0.03)
# message_start, block start, three deltas, block stop, message_delta, message_stop
EVENTS = 8


async def test_a_client_that_leaves_at_any_event_is_booked_once_and_leaves_nothing_reserved(
    mux: Stack, provider: Provider, secret: str
) -> None:
    provider.always = SHORT
    before = len(await mux.rows(0))
    async with mux.http(**{"x-api-key": secret}) as http:
        await set_budget(http, "5")
        for events in range(EVENTS + 1):
            await leave_after(mux, secret, events)
        await provider.idle()
        rows = (await mux.rows(before + EVENTS + 1))[before:]
        state = await settled(http)
    assert len(rows) == len({row.request_id for row in rows}) == EVENTS + 1
    assert all(0 < row.cost <= row.reserved for row in rows)
    assert state["spent"] == f"{sum(row.cost for row in rows) / 1e6:.6f}"


async def leave_after(mux: Stack, secret: str, events: int) -> None:
    """Read so many events of a stream and go."""
    async with (
        mux.http(**{"x-api-key": secret}) as http,
        http.stream("POST", "/v1/messages", json=streamed()) as answer,
    ):
        seen = 0
        async for line in answer.aiter_lines():
            seen += line.startswith("event: ")
            if seen > events:
                return

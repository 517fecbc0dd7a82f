"""Rules that hang on what a request brings along, through the whole product."""

from typing import Any

import pytest

from tests.flow.asks import ask
from tests.support.provider import Provider, say
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
KEY = "sk-mm-saver-000000000000001"
CONFIG = f"""
[[routing.rules]]
budget_above = 50
use = "cheap"
routing = "auto"
reason = "half of the budget is spent"
[[routing.rules]]
tag = "thorough"
use = "premium"
routing = "auto"
[keys.saver]
key = "{KEY}"
routing = "respect"
pii = "off"
"""


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": CONFIG}


async def model_of(mux: Stack, path: str = "/v1/messages", **headers: str) -> Any:
    async with mux.http(**{"x-api-key": KEY} | headers) as http:
        answer = await http.post(path, json=ask())
    if path == "/v1/route":
        return answer.json()["candidates"][0]["model"]
    return answer.headers["x-modelmuxer-model"], answer.headers["x-modelmuxer-reason"]


async def test_the_callers_tag_chooses_the_rule(mux: Stack) -> None:
    tag = {"x-modelmuxer-tag": "thorough"}
    assert (await model_of(mux, **tag))[0] == "claude-opus-5-5"
    assert await model_of(mux, "/v1/route", **tag) == "claude-opus-5-5"
    assert await model_of(mux, "/v1/route") == "claude-sonnet-5-5"


async def test_a_budget_half_spent_turns_to_the_cheap_model(mux: Stack, provider: Provider) -> None:
    async with mux.http(**{"x-api-key": KEY}) as http:
        limit = {"budget_type": "daily", "budget_limit": 0.02}
        assert (await http.post("/v1/analytics/budgets", json=limit)).status_code == 200
    assert (await model_of(mux))[0] == "claude-sonnet-5-5"
    provider.script(say("dear words", usage={"output": 1_100}))
    await model_of(mux)
    async with mux.http(**{"x-api-key": KEY}) as http:
        while float((await http.get("/v1/analytics/budgets")).json()["budgets"][0]["spent"]) < 0.01:
            pass
    await model_of(mux)  # its reservation brings the news
    model, reason = await model_of(mux)
    assert model == "claude-haiku-5-5" and "half of the budget" in reason
    assert await model_of(mux, "/v1/route") == "claude-haiku-5-5"

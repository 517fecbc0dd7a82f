"""Names of models: the guide's, the user's own, facts and prices that settings override."""

import json
from typing import Any

import pytest

from tests.flow.asks import ask
from tests.guide.promises import MODELS
from tests.support.provider import KEY, Provider, say
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
CONFIG = f"""
[providers.openai]
api_key = "{KEY}"
base_url = "{{stand_in}}/openai/v1"
[providers.gemini]
api_key = "{KEY}"
base_url = "{{stand_in}}/v1beta"
[providers.mistral]
api_key = "{KEY}"
base_url = "{{stand_in}}/mistral/v1"
[providers.house]
dialect = "openai"
api_key = "{KEY}"
base_url = "{{stand_in}}/deepseek"

[routing.aliases]
"my-fast" = "mistral-small-2603"
"gpt-4" = "gemini-3.8-flash"

[models."gemini-3.8-flash"]
max_output = 5000
tools = false

[models."mistral-medium-3-5"]
input = "100"
output = "200"

[models."house-model"]
provider = "house"
context = 32000
max_output = 3000
input = "1"
output = "2"
"""


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": CONFIG}


async def served(mux: Stack, model: str, stream: bool, **more: Any) -> str:
    """The model that answered, as header and body both name it."""
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model=model, stream=stream, **more))
    assert answer.status_code == 200, answer.text
    if stream:
        events = [json.loads(line[5:]) for line in answer.text.split("\n") if line[:5] == "data:"]
        assert events[-1]["type"] == "message_stop"
        named = events[0]["message"]["model"]
    else:
        named = answer.json()["model"]
    assert named == answer.headers["x-modelmuxer-model"]
    return str(named)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
async def test_every_name_of_the_guide_answers_and_says_who_did(
    mux: Stack, provider: Provider, model: str, stream: bool
) -> None:
    name = await served(mux, model, stream)
    call = provider.last
    assert name == (call.json.get("model") or call.path.split("/")[-1].split(":")[0])


async def test_the_auto_name_names_the_model_that_it_chose(mux: Stack, provider: Provider) -> None:
    name = await served(mux, "modelmuxer-auto", True)
    assert name != "modelmuxer-auto" and provider.bill.lines[0].model == name


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "model"), [("my-fast", "mistral-small-2603"), ("gpt-4", "gemini-3.8-flash")]
)
async def test_an_alias_of_the_settings_leads_to_its_model(
    mux: Stack, asked: str, model: str, stream: bool
) -> None:
    assert await served(mux, asked, stream) == model


async def test_an_overridden_limit_holds(mux: Stack, provider: Provider) -> None:
    await served(mux, "gemini-3.8-flash", False, max_tokens=60_000)
    assert provider.last.json["generationConfig"]["maxOutputTokens"] == 5000


async def test_an_overridden_price_is_booked(mux: Stack, provider: Provider) -> None:
    before = len(await mux.rows(0))
    provider.always = say("word " * 50, usage={"input": 1000, "output": 10})
    await served(mux, "mistral-medium-3-5", False)
    [row] = (await mux.rows(before + 1))[before:]
    assert (row.cost, row.unpriced) == (1000 * 100 + 10 * 200, False)


@pytest.mark.parametrize("name", ["house-model", "house/house-model"])
async def test_a_model_of_ones_own_is_served_limited_and_priced(
    mux: Stack, provider: Provider, name: str
) -> None:
    before = len(await mux.rows(0))
    provider.always = say("In house.", usage={"input": 1000, "output": 10})
    assert await served(mux, name, True, max_tokens=60_000) == "house-model"
    [row] = (await mux.rows(before + 1))[before:]
    assert (row.provider, row.cost, row.unpriced) == ("house", 1000 * 1 + 10 * 2, False)
    assert provider.last.json["max_tokens"] == 3000


async def test_the_list_has_ones_own_models(mux: Stack) -> None:
    async with mux.http() as http:
        found = (await http.get("/v1/models", params={"limit": 1000})).json()["data"]
    owners = {each["id"]: each["owned_by"] for each in found}
    assert (owners["house-model"], owners["gemini-3.8-flash"]) == ("house", "gemini")

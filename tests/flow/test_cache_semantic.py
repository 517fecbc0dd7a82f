"""Mode `semantic` of the response cache: the same question in other words, and nothing else."""

import asyncio
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from services.gateway.call import Asked
from services.gateway.vault import PREFIX, Vault
from tests.flow.asks import WEATHER, ask
from tests.support.embedder import build
from tests.support.provider import Provider, fail, say
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
OTHER = """
[keys.other]
key = "sk-mm-other-000000000000001"
org = "elsewhere"
routing = "respect"
pii = "off"

[keys.alike]
key = "sk-mm-alike-000000000000001"
cache = "semantic"
routing = "respect"
pii = "off"
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    model = build(tmp_path_factory.mktemp("embedder"))
    semantic = f'[gateway.cache.semantic]\nmodel = "{model}"\ncandidates = 4\n'
    return {"gateway": semantic, "more": OTHER}


@pytest.fixture(autouse=True)
async def emptied(mux: Stack) -> None:
    async with Redis.from_url(mux.redis.url) as redis:
        names = [name async for name in redis.scan_iter(f"{PREFIX}*")]
        if names:
            await redis.delete(*names)


async def post(
    mux: Stack, question: str | dict[str, Any], key: str = "plain", **more: str
) -> httpx.Response:
    headers = {"x-modelmuxer-cache": "semantic"} | more
    async with mux.http(key, **headers) as http:
        body = ask(question) if isinstance(question, str) else question
        answer = await http.post("/v1/messages", json=body)
    await asyncio.sleep(0.1)  # the store is written off the way of the client
    return answer


def how(answer: httpx.Response) -> str:
    return answer.headers["x-modelmuxer-cache"]


@pytest.mark.parametrize(
    "one, other",
    [
        ("Explain decorators in Python", "Can you describe decorators in Python?"),
        ("How do I repair a vehicle in London?", "how do I mend an automobile in London"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_question_in_other_words_has_the_same_answer(
    mux: Stack, provider: Provider, one: str, other: str, stream: bool
) -> None:
    provider.always = say("the answer")
    assert how(await post(mux, ask(one, stream=not stream))) == "miss"
    again = await post(mux, ask(other, stream=stream))
    assert how(again) == "semantic" and len(provider.bill.lines) == 1
    assert float(again.headers["x-modelmuxer-cache-similarity"]) >= 0.97
    assert ("message_stop" in again.text) == stream


@pytest.mark.parametrize(
    "one, other",
    [
        ("Convert 100 feet to metre", "Convert 101 feet to metre"),
        ("Explain decorators in Python", "Explain generators in Python"),
        ("How to increase user_id", "How to decrease user_id"),
        ("train from Paris to London", "train from London to Paris"),
        ("Is the capital Paris?", "Is the capital not Paris?"),
        ("Explain list in Python", "Explain sorted list in Python"),
    ],
)
async def test_a_question_that_differs_in_meaning_is_another_one(
    mux: Stack, provider: Provider, one: str, other: str
) -> None:
    for question in (one, other):
        assert how(await post(mux, question)) == "miss"
    assert len(provider.bill.lines) == 2


@pytest.mark.parametrize(
    "more",
    [
        {"system": "Answer in German."},
        {"model": "claude-haiku-4-5"},
        {"max_tokens": 20},
        {"temperature": 0.5},
        {"tools": [WEATHER]},
        {
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello"},
                {"role": "user", "content": "Describe decorators in Python"},
            ]
        },
    ],
    ids=lambda more: next(iter(more)),
)
async def test_what_is_asked_otherwise_gets_nothing_of_it(
    mux: Stack, provider: Provider, more: dict[str, Any]
) -> None:
    await post(mux, "Explain decorators in Python")
    assert how(await post(mux, ask("Describe decorators in Python") | more)) == "miss"
    assert len(provider.bill.lines) == 2


async def test_a_similar_question_of_another_tenant_is_a_miss(
    mux: Stack, provider: Provider
) -> None:
    await post(mux, "Explain decorators in Python")
    theirs = {"x-api-key": "sk-mm-other-000000000000001"}
    assert how(await post(mux, "Describe decorators in Python", **theirs)) == "miss"


@pytest.mark.parametrize(
    "first", [fail(400, "no"), say("no", stop="refusal")], ids=["error", "refusal"]
)
async def test_errors_and_refusals_answer_no_similar_question(
    mux: Stack, provider: Provider, first: Any
) -> None:
    provider.script(first, say("yes"))
    await post(mux, "Explain decorators in Python")
    second = await post(mux, "Describe decorators in Python")
    assert how(second) == "miss" and "yes" in second.text


async def test_a_hit_costs_nothing_and_says_why(mux: Stack, provider: Provider) -> None:
    before = len(await mux.rows(0))
    await post(mux, "Explain decorators in Python")
    await post(mux, "Describe decorators in Python")
    row = (await mux.rows(before + 2))[-1]
    assert (row.outcome, row.cost, row.cache) == ("cached", 0, "semantic")
    assert row.list_cost == provider.bill.total > 0
    assert row.reason.startswith("a similar question was answered before (similarity ")


async def test_a_key_may_have_the_mode(mux: Stack, provider: Provider) -> None:
    async with httpx.AsyncClient(
        base_url=mux.url, headers={"x-api-key": "sk-mm-alike-000000000000001"}
    ) as http:
        await http.post("/v1/messages", json=ask("Explain decorators in Python"))
        await asyncio.sleep(0.1)
        again = await http.post("/v1/messages", json=ask("Describe decorators in Python"))
    assert how(again) == "semantic"


async def test_a_masked_value_is_compared_and_stored_as_its_placeholder(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say("I read: {{user}}")
    await post(mux, "Explain mail to anna.schmidt@initech.io", key="masked")
    again = await post(mux, "Describe mail to anna.schmidt@initech.io", key="masked")
    other = await post(mux, "Describe mail to bert.schmidt@initech.io", key="masked")
    assert (how(again), how(other)) == ("semantic", "miss")
    assert "anna.schmidt@initech.io" in again.text
    asked = [each for shelf in await shelves(mux) for each in shelf]
    assert len(asked) == 2 and all("PII_EMAIL" in each.text for each in asked)
    assert not any("initech" in each.text for each in asked)


async def test_few_earlier_questions_are_kept_and_not_for_ever(
    mux: Stack, provider: Provider
) -> None:
    for number in range(6):
        await post(mux, f"Explain {number} decorators")
    (shelf,) = await shelves(mux)
    assert [each.text for each in shelf] == [f"Explain {n} decorators" for n in (5, 4, 3, 2)]
    async with Redis.from_url(mux.redis.url) as redis:
        (name,) = [name async for name in redis.scan_iter(f"{PREFIX}asked:*")]
        assert 0 < await redis.ttl(name) <= 3600


async def shelves(mux: Stack) -> list[list[Asked]]:
    """What the gateways remember of questions, unsealed."""
    async with Redis.from_url(mux.redis.url) as redis:
        vault = Vault(redis, b"a secret for tests only")
        names = [name.decode() async for name in redis.scan_iter(f"{PREFIX}asked:*")]
        return [await vault.listed(name.removeprefix(PREFIX), Asked) for name in names]

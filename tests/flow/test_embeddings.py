"""`/v1/embeddings`: masked, forwarded to the provider of the model, booked to its bill."""

import openai
import pytest

from tests.support.provider import KEY, Provider, fail
from tests.support.stack import KEYS, Stack

pytestmark = pytest.mark.anyio
CONFIG = f"""
[providers.openai]
api_key = "{KEY}"
base_url = "{{stand_in}}/openai/v1"
[providers.mistral]
api_key = "{KEY}"
base_url = "{{stand_in}}/mistral/v1"
"""
every_model = pytest.mark.parametrize("model", ["text-embedding-3-small", "mistral-embed"])


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": CONFIG}


def client(mux: Stack, key: str = "plain") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{mux.url}/v1", api_key=KEYS[key], max_retries=0)


@every_model
async def test_the_official_sdk_gets_its_vectors(mux: Stack, model: str) -> None:
    async with client(mux) as sdk:
        one = await sdk.embeddings.create(model=model, input="Grüße")
        two = await sdk.embeddings.create(model=model, input=["a", "abc"], encoding_format="float")
    assert one.data[0].embedding == [5.0, 0.5, -0.25]
    assert [each.embedding[0] for each in two.data] == [1.0, 3.0]


@every_model
async def test_the_row_is_the_bill(mux: Stack, provider: Provider, model: str) -> None:
    before = len(await mux.rows(0))
    async with client(mux) as sdk:
        answer = await sdk.embeddings.create(model=model, input=["words and more " * 2000, "b"])
    [row] = (await mux.rows(before + 1))[before:]
    assert (row.cost, row.billed) == (provider.bill.total, True) and row.cost > 0
    assert row.tokens.input == answer.usage.prompt_tokens
    assert row.reserved >= row.cost


async def test_personal_data_does_not_leave(mux: Stack, provider: Provider) -> None:
    async with client(mux, "masked") as sdk:
        await sdk.embeddings.create(
            model="mistral-embed", input=["ask ann.smith@firma.ch", "plain"]
        )
    sent = provider.last.json["input"]
    assert "ann.smith@firma.ch" not in sent[0] and sent[1] == "plain"


@pytest.mark.parametrize(("status", "seen"), [(400, 400), (401, 502), (429, 429), (500, 500)])
async def test_a_refusal_is_told_in_openais_shape_and_costs_nothing(
    mux: Stack, provider: Provider, status: int, seen: int
) -> None:
    before = len(await mux.rows(0))
    provider.always = fail(status, "no vectors today")
    async with client(mux) as sdk:
        with pytest.raises(openai.APIStatusError) as caught:
            await sdk.embeddings.create(model="mistral-embed", input="a")
    assert caught.value.status_code == seen and "no vectors today" in str(caught.value)
    [row] = (await mux.rows(before + 1))[before:]
    assert (row.outcome, row.cost) == ("error", 0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": "gemini-embedding-001", "input": "a"}, "no live provider has embeddings"),
        ({"model": "mistral-embed"}, "input: "),
        ({"model": "mistral-embed", "input": ""}, "input: "),
        ({"model": "mistral-embed", "input": []}, "input: "),
        ({"input": "a"}, "model: "),
    ],
)
async def test_what_cannot_be_embedded_is_refused_by_name(
    mux: Stack, provider: Provider, body: dict[str, object], words: str
) -> None:
    async with mux.http() as http:
        answer = await http.post("/v1/embeddings", json=body)
    assert answer.status_code in (400, 404) and words in answer.json()["error"]["message"]
    assert provider.calls == []

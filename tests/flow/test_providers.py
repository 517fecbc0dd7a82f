"""Several keys and regions of one provider: shared by weight, rotated, left when they fail."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.flow.asks import ask, streamed
from tests.support.provider import KEY, Provider, Scene, Text, fail
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
SECOND, THIRD = "sk-second-key-000000000001", "sk-third-key-0000000000001"
CONFIG = """
[providers.east]
dialect = "anthropic"
catalogue = "anthropic"
api_keys = ["file:{folder}/first.key", "file:{folder}/second.key"]
base_url = "{{stand_in}}"
models = ["claude-haiku-5-5"]

[providers.west]
dialect = "anthropic"
catalogue = "anthropic"
api_key = "{third}"
base_url = "{{stand_in}}"
models = ["claude-haiku-5-5"]
weight = 4

[providers.openai]
api_keys = ["{key}", "{second}"]
base_url = "{{stand_in}}/openai/v1"
[providers.gemini]
api_keys = ["{key}", "{second}"]
base_url = "{{stand_in}}/v1beta"
[providers.mistral]
api_keys = ["{key}", "{second}"]
base_url = "{{stand_in}}/mistral/v1"
"""


@pytest.fixture(scope="module")
def config(place: Path) -> dict[str, str]:
    (place / "first.key").write_text(KEY)
    (place / "second.key").write_text(SECOND)
    return {"more": CONFIG.format(folder=place, key=KEY, second=SECOND, third=THIRD)}


@pytest.fixture
def provider(mux: Stack) -> Provider:
    mux.provider.keys = {SECOND: 200, THIRD: 200}
    return mux.provider


async def serve(mux: Stack, model: str, name: str, sessions: int = 1) -> Counter[str]:
    """Requests of so many sessions, all answered; how many each deployment's key got."""
    before = len(mux.provider.messages)
    async with mux.http() as http:
        for number in range(sessions):
            headers = {"x-modelmuxer-run-id": f"{name}-{number}"}
            answer = await http.post("/v1/messages", json=ask(model=model), headers=headers)
            assert answer.status_code == 200, answer.text
    return Counter(call.credential for call in mux.provider.messages[before:])


async def test_keys_of_one_provider_share_its_sessions(mux: Stack, provider: Provider) -> None:
    served = await serve(mux, "east/claude-haiku-5-5", "keys", 30)
    assert set(served) == {KEY, SECOND} and min(served.values()) >= 5


async def test_regions_share_by_weight(mux: Stack, provider: Provider) -> None:
    served = await serve(mux, "claude-haiku-5-5", "regions", 60)
    # Weights: anthropic 1, east 1 and 1, west 4.
    assert set(served) == {KEY, SECOND, THIRD}
    assert 60 * 4 / 7 - 15 < served[THIRD] < 60 * 4 / 7 + 15


async def test_a_session_keeps_its_key(mux: Stack, provider: Provider) -> None:
    for name in ("a", "b", "c"):
        [key] = await serve(mux, "claude-haiku-5-5", name)
        assert await serve(mux, "claude-haiku-5-5", name) == {key: 1}


@pytest.mark.parametrize("status", [401, 403, 429, 529])
@pytest.mark.parametrize("model", ["gpt-6-luna", "gemini-3.8-flash", "mistral-small-2603"])
@pytest.mark.parametrize("bad", [KEY, SECOND])
async def test_a_key_that_fails_moves_on_to_the_next(
    mux: Stack, provider: Provider, model: str, status: int, bad: str
) -> None:
    provider.keys[bad] = status
    good = SECOND if bad == KEY else KEY
    async with mux.http() as http:
        for body in (ask(model=model), streamed(model=model)):
            answer = await http.post("/v1/messages", json=body)
            assert answer.status_code == 200, answer.text
            assert provider.last.credential == good


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("gemini-3.8-flash", "API key not valid. Please pass a valid API key."),
        ("claude-haiku-5-5", "Your credit balance is too low to access the Anthropic API."),
    ],
)
async def test_a_key_blamed_with_400_moves_on_too(
    mux: Stack, provider: Provider, model: str, words: str
) -> None:
    before = len(await mux.rows(0))
    provider.script(fail(400, words))
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model=model))
    assert answer.status_code == 200, answer.text
    first, second = (await mux.rows(before + 2))[before:]
    assert first.deployment != second.deployment and second.outcome == "ok"


async def test_a_rejected_key_is_left_alone_for_a_while(mux: Stack, provider: Provider) -> None:
    provider.keys[KEY] = 401
    for name in "abcdefgh":
        await serve(mux, "mistral-small-2603", f"left-{name}")
    rejected = [call for call in provider.messages if call.credential == KEY]
    # One request finds out (none, if an earlier one did); the router hears of it.
    assert len(rejected) <= 2


async def test_a_key_file_rotates_without_a_restart(
    mux: Stack, provider: Provider, place: Path
) -> None:
    provider.keys = {SECOND: 401, KEY: 401, THIRD: 200}
    (place / "second.key").write_text(THIRD + "\n")
    async with asyncio.timeout(15):
        while set(await serve_or_none(mux)) != {THIRD}:
            await asyncio.sleep(0.3)
    (place / "second.key").write_text(SECOND)


async def serve_or_none(mux: Stack) -> Counter[str]:
    """What answered; nothing is no failure here."""
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model="east/claude-haiku-5-5"))
    key = mux.provider.last.credential if answer.status_code == 200 else ""
    return Counter([key])


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "gpt-6-luna", "gemini-3.8-flash"])
async def test_an_answer_without_a_word_is_an_answer(
    mux: Stack, provider: Provider, model: str
) -> None:
    stop = {"claude-haiku-5-5": "max_tokens", "gemini-3.8-flash": "MAX_TOKENS"}.get(model, "length")
    parts = () if model.startswith("claude") else (Text(text=""),)
    provider.always = Scene(parts=parts, stop=stop, usage={"output": 400})
    before = len(await mux.rows(0))
    async with mux.sdk() as sdk, sdk.messages.stream(**ask(model=model)) as stream:
        answer = await stream.get_final_message()
    assert answer.stop_reason == "max_tokens"
    assert "".join(getattr(block, "text", "") for block in answer.content) == ""
    [row] = (await mux.rows(before + 1))[before:]
    assert (row.outcome, row.tokens.output, row.cost) == ("ok", 400, provider.bill.total)


@pytest.mark.parametrize("model", ["gpt-6-luna", "gemini-3.8-flash", "mistral-small-2603"])
async def test_half_a_character_reaches_a_translated_provider_as_it_was(
    mux: Stack, provider: Provider, model: str
) -> None:
    body = rb'{"model":"%s","max_tokens":99,"messages":[{"role":"user","content":"a\ud83d b"}]}'
    async with mux.http() as http:
        answer = await http.post("/v1/messages", content=body % model.encode())
    assert answer.status_code == 200, answer.text
    assert rb"a\ud83d b" in provider.last.body

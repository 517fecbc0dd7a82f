import pytest

from tests.support.provider import say
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
ASK = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 200,
    "messages": [{"role": "user", "content": "Hi"}],
}


async def test_the_official_client_gets_the_providers_answer(mux: Stack) -> None:
    mux.provider.script(say("Good morning."))
    async with mux.sdk() as sdk:
        answer = await sdk.messages.create(**ASK)
    assert answer.content[0].text == "Good morning."
    assert mux.provider.last.json["model"] == "claude-sonnet-5-5"

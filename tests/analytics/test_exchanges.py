"""Prompts are kept only where the settings say so, and then without a value."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import NotFoundError

from libs.common.bus import Bus
from libs.common.contracts.base import EVENTS_STREAM
from libs.common.contracts.exchange import EXCHANGED
from libs.common.settings.bus import BusSettings
from tests.analytics.test_api import lines, trail
from tests.support.provider import say, think
from tests.support.servers import Server
from tests.support.stack import Place, Stack, process_stack, stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
MAIL, INVENTED = "ada.lovelace@gmx.net", "grace.hopper@gmx.net"
KEPT = '[audit]\nbodies = "masked"\nbodies_bytes = 2000\n'
IMAGE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo" * 9 + "A"}


@pytest.fixture
async def keeping(tmp_path: Path, nats: Server, redis: Server) -> AsyncIterator[Stack]:
    async with stack(tmp_path, nats, redis, analytics=True, more=KEPT) as opened:
        yield opened


async def told(place: Place, key: str, content: Any, **more: Any) -> str:
    """The id of a request, answered."""
    messages = [{"role": "user", "content": content}]
    body = {"model": "claude-sonnet-5", "max_tokens": 64, "messages": messages} | more
    async with place.http(key) as http:
        answer = await http.post("/v1/messages", json=body)
        assert answer.status_code == 200, answer.text
    return str(answer.headers["x-modelmuxer-request-id"])


async def bodies(place: Stack, id: str) -> Any:
    for _ in range(100):
        found = await trail(place, id)
        if found["bodies"]:
            return found["bodies"]
        await asyncio.sleep(0.05)
    raise TimeoutError(id)


async def test_nothing_that_is_said_is_stored_by_default(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with stack(tmp_path, nats, redis, analytics=True) as place:
        id = await told(place, "masked", f"Mail {MAIL}")
        assert (await trail(place, id))["bodies"] is None
        async with place.http("admin") as http:
            records = "/v1/analytics/records?user=ada&format=jsonl&table=exchanges"
            assert await lines(http, records) == []
    assert not await journaled(nats)


async def journaled(nats: Server) -> bool:
    """Whether the journal holds anything of what was said."""
    bus = await Bus.connect(BusSettings(url=nats.url), "test")
    try:
        await bus.client.jetstream().get_last_msg(EVENTS_STREAM, EXCHANGED.subject)
    except NotFoundError:
        return False
    finally:
        await bus.close()
    return True


@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_kept_holds_placeholders_and_no_value(keeping: Stack, stream: bool) -> None:
    keeping.provider.script(think("Who?", f"Wrote to {INVENTED}."))
    image = {"type": "image", "source": IMAGE}
    content = [{"type": "text", "text": f"Mail {MAIL}"}, image]
    id = await told(keeping, "masked", content, stream=stream, system=f"From {MAIL}")
    kept = await bodies(keeping, id)
    whole = kept["request"] + kept["answer"]
    assert not [value for value in (MAIL, INVENTED, IMAGE["data"], "Who?") if value in whole]
    assert kept["request"].count("PII_EMAIL_") == 2 and kept["answer"].count("PII_EMAIL_") == 1
    assert "Wrote to" in kept["answer"] and not kept["cut"]
    assert (await trail(keeping, id, "masked"))["bodies"] is None, "administrators only"


async def test_a_long_conversation_keeps_its_end(keeping: Stack) -> None:
    keeping.provider.script(say("word " * 600))
    words = "first " + "x " * 2000 + "last"
    kept = await bodies(keeping, await told(keeping, "masked", words, max_tokens=2000))
    assert kept["cut"] and "last" in kept["request"] and "first" not in kept["request"]
    assert len(kept["request"]) == len(kept["answer"]) == 2000


async def test_without_masking_nothing_is_kept(keeping: Stack) -> None:
    unmasked = await told(keeping, "plain", f"Mail {MAIL}")
    await bodies(keeping, await told(keeping, "masked", "later"))
    assert (await trail(keeping, unmasked))["bodies"] is None


async def test_what_pii_has_not_seen_is_not_kept(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    names = ("ledger", "analytics", "router", "gateway")
    open_ = 'pii_down = "open"\n'
    async with process_stack(tmp_path, nats, redis, names, gateway=open_, more=KEPT) as place:
        await trail(place, await told(place, "masked", f"Mail {MAIL}"))
        assert place.stop("gateway") == 0, "everything is told"
        assert not await journaled(nats)

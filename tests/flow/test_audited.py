"""What is told to the audit trail: key use, refusals by policy, administrators' actions."""

import asyncio
import json
from pathlib import Path

import pytest

from libs.common.bus import Bus
from libs.common.contracts.spending import AUDITED, Audit
from libs.common.replay import replay
from libs.common.settings.bus import BusSettings
from tests.flow.asks import ask
from tests.support.servers import Server
from tests.support.stack import Stack, process_stack

pytestmark = pytest.mark.anyio
STRICT, MAIL = "sk-mm-strict-00000000000001", "ada.lovelace@acme-travel.de"
CONFIG = f"""
[keys.strict]
key = "{STRICT}"
models = ["claude-sonnet-5-5"]
routing = "respect"
[pii.keys.strict]
EMAIL = "block"
"""


@pytest.fixture(scope="module")
def config() -> dict[str, str]:
    return {"more": CONFIG}


async def told(mux: Stack, action: str, seconds: float = 5.0) -> Audit:
    """The last entry of an action; waits for it."""
    bus = await Bus.connect(BusSettings(url=mux.nats.url), "test")
    try:
        for _ in range(int(seconds / 0.05)):
            found = [each async for batch in replay(bus, AUDITED) for each in batch]
            if entries := [each for each in found if each.action == action]:
                return entries[-1]
            await asyncio.sleep(0.05)
        raise AssertionError(f"no {action} in {sorted({each.action for each in found})}")
    finally:
        await bus.close()


async def refused(mux: Stack, words: str = "Hi", **more: object) -> int:
    async with mux.http(**{"x-api-key": STRICT}) as http:
        return (await http.post("/v1/messages", json=ask(words, **more))).status_code


async def test_the_use_of_a_key_is_told(mux: Stack) -> None:
    assert await refused(mux) == 200
    assert (await told(mux, "key.used")).detail["name"] == "strict"


async def test_a_model_that_a_key_may_not_use_is_told(mux: Stack) -> None:
    assert await refused(mux, model="claude-opus-5") == 403
    assert (await told(mux, "refused.forbidden")).detail["model"] == "claude-opus-5"


async def test_a_block_for_personal_data_is_told_without_the_data(mux: Stack) -> None:
    assert await refused(mux, f"Write to {MAIL}") == 400
    assert MAIL not in str(await told(mux, "refused.pii_blocked"))


async def test_a_refusal_for_a_budget_is_told(mux: Stack) -> None:
    async with mux.http(**{"x-api-key": STRICT}) as http:
        limit = {"budget_type": "daily", "budget_limit": 0.000001}
        assert (await http.post("/v1/analytics/budgets", json=limit)).status_code == 200
    assert await refused(mux) == 402
    assert "daily" in str((await told(mux, "refused.budget_exceeded")).detail["why"])


async def test_what_an_administrator_does_is_told(mux: Stack) -> None:
    async with mux.http("admin") as http:
        made = (await http.post("/v1/admin/keys", json={"name": "editor"})).json()
    entry = await told(mux, "key.create")
    assert entry.detail["name"] == "editor" and made["secret"] not in str(entry)


@pytest.mark.slow
async def test_logs_are_one_json_object_a_line_and_one_line_a_request(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    async with process_stack(
        tmp_path, nats, redis, top='log_format = "json"\ndebug = true'
    ) as place:
        async with place.http("masked") as http:
            answers = [await http.post("/v1/messages", json=ask(f"Tell {MAIL}")) for _ in range(3)]
        ids = {answer.headers["x-modelmuxer-request-id"] for answer in answers}
        text = {name: child.log.read_text() for name, child in place.children.items()}
    lines = [json.loads(line) for log in text.values() for line in log.splitlines()]
    requests = [line for line in lines if line["logger"] == "modelmuxer.request"]
    assert len(requests) == 3 and {line["request_id"] for line in requests} == ids
    assert {line["service"] for line in lines} == {*text}
    assert not [name for name, log in text.items() if MAIL in log or "sk-mm-" in log]

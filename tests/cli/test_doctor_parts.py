"""Doctor before a product whose parts are away, or whose provider fails."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.cli.checks import BETAS
from tests.support.product import clean_environment
from tests.support.servers import Server, free_port
from tests.support.stack import KEYS, ProcessStack, process_stack

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
Findings = dict[str, dict[str, str]]


@pytest.fixture
async def parts(tmp_path: Path, nats: Server, redis: Server) -> AsyncIterator[ProcessStack]:
    dead = f'[providers.openai]\napi_key = "x"\nbase_url = "http://127.0.0.1:{free_port()}/v1"\n'
    async with process_stack(tmp_path, nats, redis, more=dead) as opened:
        yield opened


async def doctor(stack: ProcessStack, *words: str) -> Findings:
    argv = ["-P", "-m", "services", "doctor", "--json", "--url", stack.url]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *argv, "--key", KEYS["masked"], *words,
        stdout=asyncio.subprocess.PIPE, env=clean_environment(),
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 90)
    return {found["check"]: found for found in json.loads(out)["checks"]}


def failed(findings: Findings) -> set[str]:
    return {name for name, found in findings.items() if found["state"] == "failed"}


async def test_a_provider_that_cannot_be_reached_is_named(parts: ProcessStack) -> None:
    findings = await doctor(parts)
    assert failed(findings) == {"providers"}, findings
    assert findings["providers"]["reason"].startswith("openai: ")
    assert "anthropic" not in findings["providers"]["reason"]
    sent = {
        value
        for call in parts.provider.calls
        for name, value in call.headers
        if name.lower() == "anthropic-beta"
    }
    assert findings["betas"]["state"] == "ok" and BETAS in sent


@pytest.mark.parametrize(("part", "word"), [("pii", "pii"), ("ledger", "ledger")])
async def test_a_service_that_is_away_is_named(part: str, word: str, parts: ProcessStack) -> None:
    parts.stop(part)
    findings = await doctor(parts)
    broken = [found for found in findings.values() if found["state"] == "failed"]
    assert broken and any(word in found["reason"] + found["fix"] for found in broken), findings
    assert {"connection", "ready", "head", "clock"} & failed(findings) == set()


async def test_a_message_bus_that_is_away_is_named(parts: ProcessStack, nats: Server) -> None:
    nats.kill()
    await asyncio.sleep(0.5)
    findings = await doctor(parts)
    assert failed(findings) == {"ready"}, findings
    assert "no message bus" in findings["ready"]["reason"] and "NATS" in findings["ready"]["fix"]


async def test_a_provider_that_refuses_its_key_is_told(parts: ProcessStack) -> None:
    text = parts.config.read_text()
    parts.config.write_text(
        text.replace(
            '[providers.anthropic]\napi_key = "', '[providers.anthropic]\napi_key = "wrong'
        )
    )
    parts.stop("gateway")
    await parts.start("gateway").ready()
    await parts.ready()
    findings = await doctor(parts)
    assert {"answer", "providers"} <= failed(findings)
    assert "anthropic: " in findings["providers"]["reason"]

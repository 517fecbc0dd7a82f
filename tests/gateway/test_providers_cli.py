"""`modelmuxer providers test` against the stand-in: each fault by name, and its fix."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.__main__ import main
from tests.support.network import HOST, Network, network
from tests.support.provider import KEY, Provider, fail, running
from tests.support.servers import free_port

pytestmark = pytest.mark.anyio
ALL_FOUR = f"""
[providers.anthropic]
api_key = "{KEY}"
base_url = "{{url}}"
[providers.openai]
api_key = "{KEY}"
base_url = "{{url}}/openai/v1"
[providers.gemini]
api_key = "{KEY}"
base_url = "{{url}}/v1beta"
[providers.mistral]
api_key = "{KEY}"
base_url = "{{url}}/mistral/v1"
"""
ONE = """
[providers.anthropic]
api_key = "{key}"
base_url = "{base_url}"
"""


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running() as provider:
        yield provider


@pytest.fixture
async def net(tmp_path: Path) -> AsyncIterator[Network]:
    async with network(tmp_path) as net:
        yield net


class Command:
    """The command as a user runs it in a folder, but within this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capsys, self._patch = capsys, patch

    async def __call__(self, text: str, *words: str, **environment: str) -> tuple[int, str]:
        """With these settings: its exit code and everything it said."""
        Path("modelmuxer.toml").write_text(text)
        with self._patch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            code = await asyncio.to_thread(main, ["providers", "test", "--timeout", "1", *words])
        said = self._capsys.readouterr()
        return code, said.out + said.err

    async def finding(self, text: str, **environment: str) -> dict[str, Any]:
        """The only finding."""
        code, out = await self(text, "--json", **environment)
        report = json.loads(out)
        [finding] = report["providers"]
        assert report["ok"] == (code == 0) == (finding["what"] == "ok")
        assert bool(finding["fix"]) == (code != 0)
        return dict(finding)


@pytest.fixture
def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    for name in os.environ:
        if name.lower().endswith(("_proxy", "_api_key")) or name.startswith("MODELMUXER"):
            monkeypatch.delenv(name)
    return Command(capsys, monkeypatch)


async def test_each_provider_is_asked_for_one_token(provider: Provider, run: Command) -> None:
    code, out = await run(ALL_FOUR.format(url=provider.url))
    assert (code, out.count("✓"), out.count("answers")) == (0, 4, 4), out
    asked = {call.path.split("/")[1]: call.json for call in provider.messages}
    assert asked["v1"]["max_tokens"] == 1
    assert asked["mistral"]["max_tokens"] == 1
    assert asked["v1beta"]["generationConfig"]["maxOutputTokens"] == 1
    # The least that the Responses API takes.
    assert asked["openai"]["max_output_tokens"] == 16


async def test_every_key_is_asked_and_only_the_bad_one_fails(
    provider: Provider, run: Command
) -> None:
    keys = f'api_keys = ["{KEY}", "sk-old"]\nbase_url = "{provider.url}/mistral/v1"\n'
    code, out = await run(f"[providers.mistral]\n{keys}", "--json")
    first, second = json.loads(out)["providers"]
    assert code == 1 and (first["deployment"], first["what"]) == ("mistral", "ok")
    assert (second["deployment"], second["what"]) == ("mistral-2", "key_rejected")
    assert "[providers.mistral] api_key" in second["fix"]


@pytest.mark.parametrize(
    ("scene", "what", "words"),
    [
        (fail(401, "invalid x-api-key"), "key_rejected", "the key was rejected (HTTP 401"),
        (fail(403, "not in your region"), "forbidden", "the key may not use claude-haiku-5-5"),
        (fail(404, "model: gone"), "unknown_model", "it has no model claude-haiku-5-5"),
        (fail(400, "credit balance is too low"), "no_credit", "the account has no credit"),
        (fail(400, "made up"), "refused", "made up"),
        (fail(429, "slow down", retry_after=7), "rate_limited", "rate-limited, for 7 s"),
        (fail(529, "overloaded"), "down", "the provider fails (HTTP 529"),
        (fail(404, html=True), "address", "HTTP 404 without JSON"),
        (fail(502, html=True), "down", "HTTP 502"),
    ],
)
async def test_what_the_provider_says_is_told_in_words(
    provider: Provider, run: Command, scene: Any, what: str, words: str
) -> None:
    provider.always = scene
    finding = await run.finding(ONE.format(key=KEY, base_url=provider.url))
    assert finding["what"] == what and words in finding["reason"], finding


@pytest.mark.parametrize(
    ("key", "base_url", "what", "words"),
    [
        ("env:NOWHERE", "{url}", "no_key", "no key at env:NOWHERE"),
        ("sk-test-claude-dev", "{url}", "own_key", "a key of this gateway"),
        ("sk-mm-made-by-another-gateway", "{url}", "key_rejected", "one that ModelMuxer made"),
        (KEY, "http://127.0.0.1:{closed}", "connect", ": connection refused"),
        (KEY, "http://127.0.0.1:8000", "loop", "leads back to this gateway"),
        (KEY, f"http://{HOST}", "name", "no such host name is known"),
        (KEY, "{url}/elsewhere", "unknown_model", "HTTP 404"),
        (KEY, "https://{{zone}}.test", "setting", "set the option 'zone'"),
    ],
)
async def test_what_is_wrong_on_this_side_is_told_in_words(
    provider: Provider, run: Command, key: str, base_url: str, what: str, words: str
) -> None:
    address = base_url.format(url=provider.url, closed=free_port())
    finding = await run.finding(ONE.format(key=key, base_url=address))
    assert finding["what"] == what and words in finding["reason"], finding


async def test_a_private_authority_is_the_fault_until_it_is_trusted(
    provider: Provider, net: Network, run: Command
) -> None:
    net.target = int(provider.url.rpartition(":")[2])
    text = ONE.format(key=KEY, base_url=f"https://{HOST}")
    environment = {"HTTPS_PROXY": net.proxy}
    finding = await run.finding(text, **environment)
    assert finding["what"] == "tls" and "gateway.ca_file" in finding["fix"]
    assert f"cannot connect to {HOST}:443: its certificate is not trusted" in finding["reason"]
    trusting = f'[gateway]\nca_file = "{net.ca_file}"\n{text}'
    assert (await run.finding(trusting, **environment))["what"] == "ok"
    away = await run.finding(trusting, HTTPS_PROXY="http://127.0.0.1:1")
    assert away["what"] == "proxy" and "HTTPS_PROXY" in away["fix"]
    assert away["reason"] == "cannot reach the proxy at 127.0.0.1:1: connection refused"


async def test_a_server_that_is_no_api_and_one_that_says_nothing(run: Command) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")
        await writer.drain()
        writer.close()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    for behave, what, words in (
        (greet, "broken", "not HTTP"),
        (wait, "silent", "no answer in time"),
    ):
        server = await asyncio.start_server(behave, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        text = ONE.format(key=KEY, base_url=f"http://127.0.0.1:{port}")
        finding = await run.finding(text)
        assert finding["what"] == what and words in finding["reason"], finding
        server.close()


async def test_nothing_configured_and_nothing_by_that_name(run: Command) -> None:
    code, out = await run("")
    assert code == 1 and "the simulator answers" in out
    code, out = await run("[providers.groq]\napi_key = 'x'\n", "gruq")
    assert code == 78 and "no such provider is configured; there are: groq" in out


async def test_no_key_is_ever_printed(provider: Provider, run: Command) -> None:
    secret = "sk-very-secret-0123456789"
    for words in ((), ("--json",)):
        _, out = await run(ONE.format(key=secret, base_url=provider.url), *words)
        assert secret not in out and "rejected" in out

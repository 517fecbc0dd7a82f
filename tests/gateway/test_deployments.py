"""Which providers are live, and how their keys change while the gateway runs."""

from pathlib import Path

import pytest

from libs.common.bus import Bus
from libs.common.settings.bus import BusSettings
from libs.common.settings.load import load
from services.gateway.auth import Keys, bootstrap_keys
from services.gateway.deployments import Deployments
from tests.support.servers import Server

pytestmark = pytest.mark.anyio
OWN = "sk-own-key-of-the-gateway-1"


async def opened(nats: Server, folder: Path, text: str = "", **environment: str) -> Deployments:
    """Deployments as a gateway in that folder opens them."""
    (folder / "modelmuxer.toml").write_text(f'[keys.me]\nkey = "{OWN}"\n{text}')
    loaded = load(environ=environment)
    bus = await Bus.connect(BusSettings(url=nats.url), "test")
    try:
        return Deployments(bus, loaded, Keys(bus, bootstrap_keys(loaded), 5.0))
    finally:
        await bus.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    return tmp_path


def credentials(deployments: Deployments) -> dict[str, str]:
    return {id: target.credential for id, target in deployments.targets.items()}


async def test_a_key_in_dotenv_changes_comes_and_goes(nats: Server, folder: Path) -> None:
    dotenv = folder / ".env"
    dotenv.write_text("ANTHROPIC_API_KEY=sk-ant-old\n")
    deployments = await opened(nats, folder)
    assert credentials(deployments) == {"anthropic": "sk-ant-old"}
    dotenv.write_text("ANTHROPIC_API_KEY=sk-ant-new\nOPENAI_API_KEY=sk-o\n")
    assert deployments.refresh() and not deployments.refresh()
    assert credentials(deployments) == {"anthropic": "sk-ant-new", "openai": "sk-o"}


async def test_the_first_key_in_dotenv_ends_the_simulation(nats: Server, folder: Path) -> None:
    deployments = await opened(nats, folder)
    assert deployments.simulated
    (folder / ".env").write_text("GEMINI_API_KEY=g\n")
    assert deployments.refresh()
    assert credentials(deployments) == {"gemini": "g"} and not deployments.simulated


async def test_a_key_that_is_gone_is_an_error_and_no_simulation(nats: Server, folder: Path) -> None:
    (folder / "key").write_text("sk-ant-1\n")
    text = '[providers.anthropic]\napi_key = "file:key"\n'
    deployments = await opened(nats, folder, text)
    assert credentials(deployments) == {"anthropic": "sk-ant-1"}
    (folder / "key").unlink()
    assert deployments.refresh()
    assert deployments.targets == {}
    assert deployments.notices == [
        "providers.anthropic: no key at file:key; set it, or take the section out"
    ]


async def test_the_environment_wins_over_dotenv(
    nats: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-set")
    (folder / ".env").write_text("ANTHROPIC_API_KEY=sk-ant-file\n")
    deployments = await opened(nats, folder, ANTHROPIC_API_KEY="sk-ant-set")
    (folder / ".env").write_text("ANTHROPIC_API_KEY=sk-ant-other\n")
    assert not deployments.refresh()
    assert credentials(deployments) == {"anthropic": "sk-ant-set"}


async def test_deployments_keep_their_names_when_one_key_goes(nats: Server, folder: Path) -> None:
    (folder / "a").write_text("one")
    (folder / "b").write_text("two")
    text = '[providers.mistral]\napi_keys = ["file:a", "file:b"]\n'
    deployments = await opened(nats, folder, text)
    assert credentials(deployments) == {"mistral": "one", "mistral-2": "two"}
    (folder / "a").write_text("")
    deployments.refresh()
    assert credentials(deployments) == {"mistral-2": "two"}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (f'api_key = "{OWN}"', "its credential is a key of this gateway"),
        ('api_key = "env:NOWHERE"', "no key at env:NOWHERE; set it, or take the section out"),
        ('api_key = "file:."', "no key at file:."),
        ('api_key = "file:two-lines"', "file:two-lines holds more than a key"),
        ('api_key = "file:binary"', "cannot read file:binary"),
        ('base_url = "http://localhost:8000/v1"', "base_url leads back to this gateway"),
        ('base_url = "https://{region}.test"', "set the option 'region'"),
        ('dialect = "smoke-signals"', "dialect: use one of anthropic, openai"),
    ],
)
async def test_what_keeps_a_provider_from_being_live_is_told(
    nats: Server, folder: Path, section: str, words: str
) -> None:
    (folder / "two-lines").write_text("sk-1\nsk-2")
    (folder / "binary").write_bytes(b"\xff\xfe\x00")
    deployments = await opened(nats, folder, f"[providers.anthropic]\n{section}\n")
    assert words in deployments.notices[0] and OWN not in deployments.notices[0]


async def test_regions_are_providers_of_any_name(nats: Server, folder: Path) -> None:
    text = "".join(
        f'[providers.{name}]\ndialect = "bedrock"\ncatalogue = "anthropic"\nweight = {weight}\n'
        'base_url = "https://bedrock-runtime.{region}.amazonaws.com"\n'
        f'options = {{ region = "{region}" }}\n'
        for name, region, weight in (("frankfurt", "eu-central-1", 1), ("virginia", "us-east-1", 2))
    )
    deployments = await opened(nats, folder, text)
    frankfurt, virginia = deployments.targets.values()
    assert frankfurt.base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"
    assert (virginia.deployment.weight, virginia.deployment.catalogue) == (2, "anthropic")
    assert virginia.options == {"region": "us-east-1"} and deployments.notices == []

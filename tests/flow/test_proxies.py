"""Providers behind a company's proxy, with certificates of its own authority."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.common.settings.gateway import GatewaySettings
from libs.common.settings.load import ConfigError
from services.gateway.proxies import proxy_for
from services.gateway.simulator import Simulator
from services.gateway.upstream import CallFailed, open_upstreams
from tests.flow.asks import ask, streamed
from tests.support.network import HOST, Network, network
from tests.support.provider import KEY, say
from tests.support.servers import Server
from tests.support.stack import Stack, stack

pytestmark = pytest.mark.anyio
CONFIG = f"""
[providers.secure]
dialect = "anthropic"
catalogue = "anthropic"
api_key = "{KEY}"
base_url = "https://{HOST}"
[providers.plain]
dialect = "anthropic"
catalogue = "anthropic"
api_key = "{KEY}"
base_url = "http://{HOST}"
"""
WAITS = {"connect": 3.0, "read": 3.0}


@pytest.fixture(scope="module")
async def net(place: Path) -> AsyncIterator[Network]:
    async with network(place) as net:
        yield net


@pytest.fixture(scope="module")
async def opened(place: Path, stores: tuple[Server, Server], net: Network) -> AsyncIterator[Stack]:
    gateway = f'https_proxy = "{net.proxy}"\nca_file = "{net.ca_file}"'
    async with stack(place, *stores, gateway=gateway, more=CONFIG) as all_five:
        net.target = int(all_five.provider.url.rpartition(":")[2])
        yield all_five


@pytest.mark.parametrize(
    ("provider", "asked"),
    [("secure", f"CONNECT {HOST}:443"), ("plain", f"POST http://{HOST}/v1/messages")],
)
async def test_a_provider_is_reached_through_the_proxy(
    mux: Stack, net: Network, provider: str, asked: str
) -> None:
    mux.provider.always = say("Through the proxy.", deltas=5)
    net.asked.clear()
    async with mux.http() as http:
        for body in (ask, streamed):
            answer = await http.post(
                "/v1/messages", json=body(model=f"{provider}/claude-haiku-5-5")
            )
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-modelmuxer-provider"] == provider
    assert asked in net.asked and len(mux.provider.messages) == 2


async def test_this_machine_is_never_reached_through_the_proxy(mux: Stack, net: Network) -> None:
    net.asked.clear()
    async with mux.http() as http:
        answer = await http.post("/v1/messages", json=ask(model="anthropic/claude-haiku-5-5"))
    assert answer.headers["x-modelmuxer-provider"] == "anthropic" and net.asked == []


async def call(url: str, net: Network, environment: dict[str, str], **settings: str) -> int:
    gateway = GatewaySettings(**settings)  # type: ignore[arg-type]
    async with open_upstreams(gateway, Simulator(), environment) as upstreams:
        reply = await upstreams.send(url, [], b"", timeouts=WAITS, method="GET")
        await reply.read()
        await reply.close()
        return reply.status


async def test_the_usual_variables_count(mux: Stack, net: Network) -> None:
    ca = {"ca_file": str(net.ca_file)}
    assert await call(f"https://{HOST}/", net, {"HTTPS_PROXY": net.proxy}, **ca) == 200
    assert await call(f"http://{HOST}/", net, {"http_proxy": net.proxy}) == 200


@pytest.mark.parametrize(
    ("url", "environment", "fault"),
    [
        (f"https://{HOST}/", {"HTTPS_PROXY": "{proxy}"}, "tls"),
        (f"https://{HOST}:8443/", {"HTTPS_PROXY": "{proxy}"}, "proxy"),
        (f"https://{HOST}/", {"HTTPS_PROXY": "http://127.0.0.1:1"}, "proxy"),
        (f"https://{HOST}/", {"HTTPS_PROXY": "{proxy}", "NO_PROXY": ".corp.test"}, "name"),
        ("http://127.0.0.1:1/", {}, "connect"),
    ],
)
async def test_each_fault_has_its_name_and_was_not_billed(
    mux: Stack, net: Network, url: str, environment: dict[str, str], fault: str
) -> None:
    told = {name: text.replace("{proxy}", net.proxy) for name, text in environment.items()}
    with pytest.raises(CallFailed) as caught:
        await call(url, net, told)
    assert (caught.value.fault, caught.value.sent) == (fault, False), caught.value


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ca_file": "/nowhere.pem"}, "gateway.ca_file: cannot use /nowhere.pem"),
        ({"ca_file": __file__}, "gateway.ca_file: cannot use"),
        ({"https_proxy": "proxy:3128"}, "gateway.https_proxy: give the proxy's own address"),
    ],
)
async def test_a_setting_that_cannot_work_is_named(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        async with open_upstreams(GatewaySettings(**settings), Simulator(), {}):  # type: ignore[arg-type]
            pass


def test_the_setting_wins_and_exceptions_hold() -> None:
    environment = {"HTTPS_PROXY": "http://e:1", "ALL_PROXY": "http://a:1", "NO_PROXY": "in.test"}
    assert proxy_for("https://x.test/", "http://s:1", environment) == "http://s:1"
    assert proxy_for("https://x.test/", "", environment) == "http://e:1"
    assert proxy_for("http://x.test/", "", environment) == "http://a:1"
    for direct in ("https://in.test/", "https://a.in.test:8443/", "http://localhost:1/v1"):
        assert proxy_for(direct, "http://s:1", environment) == ""

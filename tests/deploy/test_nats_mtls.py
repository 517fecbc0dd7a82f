"""Mutual TLS to NATS with the shipped users: the certificate says who a service is."""

import asyncio
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from libs.common.bus import Bus
from libs.common.contracts.usage import USED
from libs.common.errors import Unavailable
from libs.common.settings.bus import BusSettings
from tests.support.servers import Server, binary, free_port, nats_server, running

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
K8S = Path(__file__).parents[2] / "deploy" / "k8s"
EXTENSIONS = "subjectAltName=DNS:{name},DNS:localhost,IP:127.0.0.1\n"


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def certificates(folder: Path, *names: str) -> None:
    """An authority, and a certificate per name."""
    subject = ["-subj", "/CN=authority"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl(folder, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", *subject)
    for name in names:
        (folder / "extensions").write_text(EXTENSIONS.format(name=name))
        asked = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
        openssl(folder, "req", *curve, *asked)
        signer = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial"]
        made = ["-in", f"{name}.csr", "-out", f"{name}.crt", "-extfile", "extensions"]
        openssl(folder, "x509", "-req", *signer, *made)


@pytest.fixture
def tls(tmp_path: Path) -> Path:
    certificates(tmp_path, "server", "gateway", "router", "stranger")
    return tmp_path


@pytest.fixture
def nats(tls: Path) -> Iterator[Server]:
    folder = tls / "nats"
    server = nats_server(folder)
    users = (K8S / "components/mtls/users.conf").read_text()
    (folder / "users.conf").write_text(localised(users, tls))
    permissions = (K8S / "base/nats/permissions.conf").read_text()
    (folder / "permissions.conf").write_text(permissions)
    with (folder / "nats.conf").open("a") as config:
        config.write('\ninclude "users.conf"\n')
    with running(server):
        yield server


def settings(nats: Server, tls: Path, name: str) -> BusSettings:
    return BusSettings(
        url=nats.url.replace("nats://", "tls://"),
        tls_ca=str(tls / "ca.crt"),
        tls_cert=str(tls / f"{name}.crt"),
        tls_key=str(tls / f"{name}.key"),
        connect_timeout=2,
    )


async def test_a_service_is_who_its_certificate_says(nats: Server, tls: Path) -> None:
    bus = await Bus.connect(settings(nats, tls, "router"), "router")
    try:
        heard: list[object] = []

        async def hear(body: object) -> None:
            heard.append(body)

        await bus.listen(USED, hear)
        await bus.client.publish("ledger.reserve.v1", b"{}")
        await bus.client.flush()
    finally:
        await bus.close()
    log = (tls / "nats" / "server.log").read_text()
    assert 'user:router" - Publish Violation' in log
    assert "Subscription Violation" not in log


async def test_a_certificate_of_nobody_is_refused(nats: Server, tls: Path) -> None:
    with pytest.raises(Unavailable):
        await Bus.connect(settings(nats, tls, "stranger"), "stranger")


async def test_without_a_certificate_nobody_connects(nats: Server, tls: Path) -> None:
    bare = BusSettings(
        url=nats.url.replace("nats://", "tls://"), tls_ca=str(tls / "ca.crt"), connect_timeout=2
    )
    with pytest.raises(Unavailable):
        await Bus.connect(bare, "gateway")
    assert ssl.HAS_TLSv1_3


def member(tls: Path, name: str, routes: Path, ports: list[int], own: int) -> Server:
    """A node of the shipped cluster configuration, with the shipped routes of a component."""
    folder = tls / name
    folder.mkdir()
    for file in (K8S / "components/mtls/users.conf", K8S / "base/nats/permissions.conf", routes):
        (folder / file.name).write_text(localised(file.read_text(), tls))
    client, monitor = free_port(), free_port()
    text = localised((K8S / "base/nats/nats.conf").read_text(), tls)
    for shipped, here in (
        ("port: 4222", f'listen: "127.0.0.1:{client}"'),
        ("http_port: 8222", f'http: "127.0.0.1:{monitor}"'),
        ("port: 6222", f'listen: "127.0.0.1:{own}"'),
        ("$POD_NAME", name),
        ('"/data"', f'"{folder}/data"'),
        ("$NATS_ROUTES", str([f"nats://route:secret@localhost:{port}" for port in ports])),
    ):
        text = text.replace(shipped, here)
    (folder / "nats.conf").write_text(text.replace("'", '"'))
    argv = [binary("nats-server"), "-c", str(folder / "nats.conf")]
    return Server(argv, client, f"http://127.0.0.1:{monitor}", folder)


def localised(text: str, tls: Path) -> str:
    for inside, here in (("tls.crt", "server.crt"), ("tls.key", "server.key"), ("ca.crt",) * 2):
        text = text.replace(f"/tls/{inside}", f"{tls}/{here}")
    return text


def peers(server: Server) -> set[str]:
    """Who the monitor says this node is joined to."""
    routes = httpx.get(f"{server.url}/routez", timeout=5).json()["routes"] or []
    return {route["remote_name"] for route in routes}


async def test_servers_join_a_cluster_by_certificate_and_not_by_the_password_alone(
    tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_PASSWORD_ROUTE", "secret")
    ports = [free_port() for _ in range(3)]
    encrypted, plain = K8S / "components/mtls/routes.conf", K8S / "base/nats/routes.conf"
    first = member(tls, "first", encrypted, ports[:2], ports[0])
    second = member(tls, "second", encrypted, ports[:2], ports[1])
    bare = member(tls, "bare", plain, ports, ports[2])
    with running(first), running(second), running(bare):
        for _ in range(100):
            if peers(first) == {"second"}:
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        assert (peers(first), peers(second), peers(bare)) == ({"second"}, {"first"}, set())

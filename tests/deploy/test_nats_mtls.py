"""Mutual TLS to NATS with the shipped users: the certificate says who a service is."""

import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.common.bus import Bus
from libs.common.contracts.usage import USED
from libs.common.errors import Unavailable
from libs.common.settings.bus import BusSettings
from tests.support.servers import Server, nats_server, running

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
    for inside, here in (("tls.crt", "server.crt"), ("tls.key", "server.key"), ("ca.crt",) * 2):
        users = users.replace(f"/tls/{inside}", f"{tls}/{here}")
    (folder / "users.conf").write_text(users)
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

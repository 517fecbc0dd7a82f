"""A corporate network in small: a proxy that alone knows a host's name, TLS under its own CA."""

import asyncio
import contextlib
import datetime
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Nobody resolves it: what reaches it went through the proxy.
HOST = "models.corp.test"
DAY = datetime.timedelta(days=1)
# Since 3.13 Python asks of an authority all that RFC 5280 asks.
SIGNING = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Network:
    """`proxy` and `ca_file` are what a user configures; `asked` what the proxy was asked for.
    Port 443 of HOST speaks TLS, port 80 does not; behind both is `target` on 127.0.0.1."""

    def __init__(self, ca_file: Path) -> None:
        self.ca_file, self.target = ca_file, 0
        self.asked: list[str] = []
        self.proxy_port = self.tls_port = 0

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.proxy_port}"

    async def serve_proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            method, address, _ = head.split(b"\r\n")[0].split(b" ")
            self.asked.append(f"{method.decode()} {address.decode()}")
            if method == b"CONNECT":
                if address != f"{HOST}:443".encode():
                    writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
                    return
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await pass_on(reader, writer, self.tls_port)
            else:
                # One request for each connection: only the first head is rewritten.
                plain = head.replace(f"http://{HOST}".encode(), b"", 1)
                plain = plain.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
                await pass_on(reader, writer, self.target, plain)

    async def serve_tls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            await pass_on(reader, writer, self.target)


async def pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, first: bytes = b""
) -> None:
    """Bytes both ways until either side has ended."""
    theirs, ours = await asyncio.open_connection("127.0.0.1", port)
    ours.write(first)
    ways = [
        asyncio.ensure_future(_copy(reader, ours)),
        asyncio.ensure_future(_copy(theirs, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        ours.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def network(folder: Path) -> AsyncIterator[Network]:
    net = Network(folder / "ca.pem")
    context = certified(folder)
    proxy = await asyncio.start_server(net.serve_proxy, "127.0.0.1", 0)
    tls = await asyncio.start_server(net.serve_tls, "127.0.0.1", 0, ssl=context)
    net.proxy_port = proxy.sockets[0].getsockname()[1]
    net.tls_port = tls.sockets[0].getsockname()[1]
    try:
        yield net
    finally:
        proxy.close()
        tls.close()


def certified(folder: Path) -> ssl.SSLContext:
    """A server's TLS for HOST; the authority that vouches for it is written to `ca.pem`."""
    authority, key = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    root, own = _name("Corporate CA"), _name(HOST)
    signs = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    ca = _draft(root, root, authority, x509.BasicConstraints(ca=True, path_length=None))
    ca = ca.add_extension(SIGNING, critical=True)
    leaf = _draft(own, root, key, x509.SubjectAlternativeName([x509.DNSName(HOST)]))
    leaf = leaf.add_extension(signs, critical=False)
    folder.joinpath("ca.pem").write_bytes(_pem(ca.sign(authority, hashes.SHA256())))
    folder.joinpath("leaf.pem").write_bytes(
        _pem(leaf.sign(authority, hashes.SHA256()))
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return context


def _draft(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)

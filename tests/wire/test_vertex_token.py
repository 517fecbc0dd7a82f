"""Google's own client against a token endpoint of this test: a service account becomes a token."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from libs.common.errors import Unavailable
from services.gateway.providers import signing

pytest.importorskip("google.auth", reason="needs modelmuxer[vertex]")
MAIL = "mux@project.iam.gserviceaccount.com"


class TokenEndpoint(http.server.BaseHTTPRequestHandler):
    """Gives a token for a claim that the account's key has signed, as Google does."""

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        head, claim, signature = form["assertion"][0].split(".")
        self.server.public.verify(  # type: ignore[attr-defined]
            _decoded(signature), f"{head}.{claim}".encode(), padding.PKCS1v15(), hashes.SHA256()
        )
        self.server.claims.append(json.loads(_decoded(claim)))  # type: ignore[attr-defined]
        token = {"access_token": "ya29.fresh", "expires_in": 3600, "token_type": "Bearer"}
        status, answer = self.server.answer or (200, token)  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        pass


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@pytest.fixture
def google(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[http.server.ThreadingHTTPServer]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint)
    server.public, server.claims, server.answer = key.public_key(), [], None  # type: ignore[attr-defined]
    account = {
        "type": "service_account",
        "client_email": MAIL,
        "project_id": "project",
        "private_key_id": "1",
        "private_key": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        "token_uri": f"http://127.0.0.1:{server.server_address[1]}/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "account.json"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signing._google_credentials.cache_clear()
    yield server
    signing._google_credentials.cache_clear()
    server.shutdown()
    server.server_close()


def signed() -> dict[str, str]:
    return signing.sign_vertex("https://vertex.invalid", {}, b"{}", "", {})


def test_a_service_account_becomes_a_token_that_is_kept(
    google: http.server.ThreadingHTTPServer,
) -> None:
    assert [signed(), signed()] == [{"authorization": "Bearer ya29.fresh"}] * 2
    [claim] = google.claims  # type: ignore[attr-defined]
    assert claim["iss"] == MAIL and claim["scope"] == signing.SCOPE


def test_a_refused_account_is_told_in_words(google: http.server.ThreadingHTTPServer) -> None:
    google.answer = (400, {"error": "invalid_grant", "error_description": "Account disabled"})  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="Google gave no access token: .*Account disabled"):
        signed()


def test_a_token_of_ones_own_is_used_as_it_is() -> None:
    assert signing.sign_vertex("https://vertex.invalid", {}, b"{}", "ya29.mine", {}) == {}

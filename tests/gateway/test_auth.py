import pytest

from libs.common.errors import MuxError
from libs.common.settings.load import ConfigError, Loaded, load
from services.gateway.auth import (
    DEVELOPMENT_KEY,
    bootstrap_keys,
    check_host,
    credentials,
    digest,
    run_of,
)
from services.gateway.http import RequestHeaders


def loaded(tmp_path, monkeypatch, **environment: str) -> Loaded:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    return load(environ=environment)


def headers(**pairs: str) -> RequestHeaders:
    return RequestHeaders((k.replace("_", "-").encode(), v.encode()) for k, v in pairs.items())


def test_without_keys_a_loopback_gateway_takes_the_guides_key(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    keys = bootstrap_keys(loaded(tmp_path, monkeypatch))
    assert list(keys) == [digest(DEVELOPMENT_KEY)]


def test_without_keys_any_other_address_refuses_to_start(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="API_KEYS"):
        bootstrap_keys(loaded(tmp_path, monkeypatch, MODELMUXER_GATEWAY__HOST="0.0.0.0"))


def test_the_well_known_key_is_refused_on_any_other_address(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    environment = {"MODELMUXER_GATEWAY__HOST": "0.0.0.0", "API_KEYS": f"sk-mine,{DEVELOPMENT_KEY}"}
    with pytest.raises(ConfigError, match="publicly known"):
        bootstrap_keys(loaded(tmp_path, monkeypatch, **environment))


def test_configured_keys_replace_the_development_key(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    keys = bootstrap_keys(loaded(tmp_path, monkeypatch, API_KEYS="sk-a, sk-b"))
    assert set(keys) == {digest("sk-a"), digest("sk-b")}
    assert all(key.id == f"key_{sha[:16]}" for sha, key in keys.items())


def test_a_widest_mode_narrower_than_the_keys_own_is_refused(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "modelmuxer.toml").write_text(
        '[keys.ann]\nkey = "sk-a"\nrouting = "auto"\nrouting_max = "respect"\n'
    )
    with pytest.raises(ConfigError, match=r"keys\.ann\.routing_max: 'respect' is narrower"):
        bootstrap_keys(loaded(tmp_path, monkeypatch))


def test_either_header_carries_the_key_or_both() -> None:
    both = headers(x_api_key="one", authorization="bearer two")
    assert list(credentials(both)) == ["one", "two"]
    assert list(credentials(headers(authorization="Basic abc"))) == []


@pytest.mark.parametrize(
    ("pairs", "user_id", "run"),
    [
        ({"x_modelmuxer_run_id": "run-1", "x_claude_code_session_id": "s"}, "", "run-1"),
        ({"x_claude_code_session_id": "abc-123"}, "", "abc-123"),
        ({}, '{"device_id":"d","session_id":"11112222-aaaa"}', "11112222-aaaa"),
        ({}, "user_1_account__session_33334444-bbbb", "33334444-bbbb"),
        ({"x_modelmuxer_run_id": "bad id\u00e9"}, "", ""),
        ({"x_modelmuxer_run_id": "x" * 500}, "", ""),
    ],
)
def test_the_run_is_found_where_clients_say_it(
    pairs: dict[str, str], user_id: str, run: str
) -> None:
    assert run_of(headers(**pairs), user_id) == run


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "mux.test:1"])
def test_loopback_names_and_allowed_ones_are_served(host: str) -> None:
    check_host(headers(host=host), ["mux.test"])


def test_a_foreign_name_on_a_loopback_address_is_refused() -> None:
    with pytest.raises(MuxError, match="not served"):
        check_host(headers(host="evil.example:8000"), [])

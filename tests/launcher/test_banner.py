from libs.common.settings.load import load
from services.launcher.banner import PROMPTS, banner

URL = "http://localhost:8000"


def test_without_a_provider_key_the_banner_says_that_the_simulator_answers() -> None:
    text = banner(URL, load(environ={}), b'{"providers":[],"simulator":true}')
    assert "simulator answers" in text
    assert f"ANTHROPIC_BASE_URL={URL} ANTHROPIC_AUTH_TOKEN=sk-test-claude-dev claude" in text
    assert f"{URL}/dashboard" in text
    assert all(prompt in text for prompt in PROMPTS)


def test_live_providers_are_named() -> None:
    text = banner(URL, load(environ={}), b'{"providers":["anthropic",{"name":"openai"}]}')
    assert "live: anthropic, openai" in text


def test_a_configured_key_is_named_but_not_printed() -> None:
    text = banner(URL, load(environ={"API_KEYS": "my-own-secret"}), b"{}")
    assert "my-own-secret" not in text
    assert "one of API_KEYS, from environment (API_KEYS)" in text


def test_a_health_answer_that_is_not_json_does_not_break_the_banner() -> None:
    assert "simulator" in banner(URL, load(environ={}), b"<html>")

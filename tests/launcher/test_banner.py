import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from libs.common.settings.load import Loaded, load
from services.launcher.banner import PROMPTS, banner, curl, decoded, what_stays

URL = "http://localhost:8000"
NOTICE = "providers.openai: its credential is a key of this gateway, not of the provider; ignored"


def keys(*names: str) -> dict[str, str]:
    return {f"MODELMUXER_KEYS__{name.upper()}__KEY": f"secret-{name}" for name in names}


def shown(health: dict[str, Any] | None = None, **environ: str) -> str:
    return banner(URL, load(environ=environ), health or {})


def test_without_a_provider_key_the_banner_says_that_the_simulator_answers() -> None:
    text = shown({"providers": [], "simulator": True})
    assert "simulator answers" in text
    assert f"ANTHROPIC_BASE_URL={URL} \\\n    ANTHROPIC_AUTH_TOKEN=sk-test-claude-dev cl" in text
    assert f"{URL}/dashboard" in text
    assert all(prompt in text for prompt in PROMPTS)


def test_live_providers_are_named() -> None:
    text = shown({"providers": ["anthropic", {"name": "openai"}]})
    assert "live: anthropic, openai" in text


def test_three_models_are_promised_only_where_it_is_known() -> None:
    promise = "three different models"
    assert promise in shown() and promise in shown(API_KEYS="mine")
    assert promise not in shown({"providers": ["anthropic"]})
    assert promise not in shown(**keys("ann"))
    assert promise not in shown(MODELMUXER_ROUTING__BAR="0.9")


def test_a_configured_key_is_named_but_not_printed() -> None:
    text = shown(API_KEYS="my-own-secret")
    assert "my-own-secret" not in text
    assert "one of API_KEYS, from environment (API_KEYS)" in text


def test_a_section_with_the_development_key_leaves_it_to_paste() -> None:
    assert "ANTHROPIC_AUTH_TOKEN=sk-test-claude-dev" in shown(
        MODELMUXER_KEYS__ME__KEY="sk-test-claude-dev"
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ann"], "the key of [keys.ann]"),
        (["ann", "bob", "cy"], "a key of [keys.ann], [keys.bob] or [keys.cy]"),
        (list("abcdefg"), "a key of [keys.a], [keys.b], [keys.c] or 4 more"),
    ],
)
def test_configured_keys_are_named_each_by_its_section(names: list[str], words: str) -> None:
    text = shown(**keys(*names))
    assert words in text and "secret-" not in text


@pytest.mark.parametrize("environ", [{}, {"API_KEYS": "mine"}, keys(*"abcdefg")])
@pytest.mark.parametrize("health", [{}, {"providers": ["anthropic"], "notices": [NOTICE]}])
def test_nothing_of_it_is_wider_than_80_columns(
    environ: dict[str, str], health: dict[str, Any]
) -> None:
    assert max(map(len, shown(health, **environ).splitlines())) <= 80


def test_the_first_request_can_be_pasted_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "curl").write_text('#!/bin/sh\nfor word in "$@"; do body=$word; done; echo "$body"')
    (tmp_path / "curl").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(
        "\n".join(curl(URL, "k")), shell=True, env={"PATH": path}, capture_output=True, check=True
    )
    assert decoded(done.stdout)["messages"] == [{"role": "user", "content": PROMPTS[0]}]


def test_a_health_answer_that_is_not_json_does_not_break_the_banner() -> None:
    assert "simulator" in shown(dict(decoded(b"<html>")))


def test_what_stays_is_told_where_it_is() -> None:
    def told(**environ: str) -> str:
        loaded: Loaded = load(environ=environ)
        return what_stays(loaded.settings)

    assert told() == "costs and budgets stay in .modelmuxer"
    assert told(MODELMUXER_REDIS_URL="redis://r") == "costs and budgets stay in their stores"

"""Providers that a name is enough for."""

from pathlib import Path

import pytest

from libs.common.errors import InvalidRequest
from services.gateway.providers import DIALECTS, PRESETS, anthropic, openai_chat
from services.gateway.providers.presets import address

DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"


def test_every_preset_names_a_dialect_and_is_documented() -> None:
    text = DOCUMENT.read_text()
    for name, preset in PRESETS.items():
        assert preset.dialect in DIALECTS
        key = f"`{preset.key}`" if preset.key else "none"
        assert f"| `{name}` | `{preset.dialect}` | `{preset.base_url}` | {key} |" in text


def test_a_slot_in_an_address_is_an_option_or_an_error_that_names_it() -> None:
    azure = PRESETS["azure"]
    options = {**azure.options, "resource": "mine"}
    assert address(azure.base_url, options) == "https://mine.openai.azure.com/openai"
    with pytest.raises(InvalidRequest, match="'resource'"):
        address(azure.base_url, azure.options)


def test_azure_is_called_by_deployment_and_version_with_its_own_header() -> None:
    options = {**PRESETS["azure"].options, "resource": "mine"}
    assert (
        openai_chat.path("gpt-5.2", True, options)
        == "/deployments/gpt-5.2/chat/completions?api-version=2024-10-21"
    )
    assert openai_chat.headers("key", options) == {"api-key": "key"}


def test_one_credential_header_and_only_one() -> None:
    assert anthropic.headers("sk-ant-api03-x", {}) == {"x-api-key": "sk-ant-api03-x"}
    assert anthropic.headers("sk-ant-oat01-x", {}) == {"authorization": "Bearer sk-ant-oat01-x"}
    assert openai_chat.headers("", {}) == {}

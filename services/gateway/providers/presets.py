"""Providers by name: `[providers.groq] api_key = "env:GROQ_API_KEY"` and nothing else.

`catalogue` names the list of models and prices; a slot `{region}` in an address or path is an
option of the provider.
"""

from collections.abc import Mapping

from libs.common.errors import InvalidRequest
from services.gateway.providers.base import Preset


def _openai(base_url: str, catalogue: str, key: str, **options: str) -> Preset:
    return Preset(
        dialect="openai", base_url=base_url, catalogue=catalogue, key=key, options=options
    )


PRESETS: dict[str, Preset] = {
    "anthropic": Preset(
        dialect="anthropic",
        base_url="https://api.anthropic.com",
        catalogue="anthropic",
        key="ANTHROPIC_API_KEY",
    ),
    # Its models think and call tools at once in this API only; `dialect = "openai"` for Chat.
    "openai": Preset(
        dialect="openai-responses",
        base_url="https://api.openai.com/v1",
        catalogue="openai",
        key="OPENAI_API_KEY",
    ),
    "gemini": Preset(
        dialect="gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta",
        catalogue="gemini",
        key="GEMINI_API_KEY",
    ),
    "mistral": Preset(
        dialect="mistral",
        base_url="https://api.mistral.ai/v1",
        catalogue="mistral",
        key="MISTRAL_API_KEY",
    ),
    "groq": _openai("https://api.groq.com/openai/v1", "groq", "GROQ_API_KEY"),
    "together": _openai("https://api.together.xyz/v1", "together", "TOGETHER_API_KEY"),
    "deepseek": _openai("https://api.deepseek.com", "deepseek", "DEEPSEEK_API_KEY"),
    "xai": _openai("https://api.x.ai/v1", "x-ai", "XAI_API_KEY"),
    "openrouter": _openai("https://openrouter.ai/api/v1", "openrouter", "OPENROUTER_API_KEY"),
    "fireworks": _openai("https://api.fireworks.ai/inference/v1", "fireworks", "FIREWORKS_API_KEY"),
    "cerebras": _openai("https://api.cerebras.ai/v1", "cerebras", "CEREBRAS_API_KEY"),
    "vllm": _openai("http://127.0.0.1:8001/v1", "", ""),
    "ollama": _openai("http://127.0.0.1:11434/v1", "", ""),
    "lmstudio": _openai("http://127.0.0.1:1234/v1", "", ""),
    "azure": _openai(
        "https://{resource}.openai.azure.com/openai",
        "azure",
        "AZURE_OPENAI_API_KEY",
        path="/deployments/{model}/chat/completions?api-version={api_version}",
        api_version="2024-10-21",
        auth="api-key",
    ),
    "bedrock": Preset(
        dialect="bedrock",
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        catalogue="anthropic",
        options={"region": "us-east-1"},
    ),
    "vertex": Preset(
        dialect="vertex",
        base_url="https://{host}/v1/projects/{project}/locations/{region}",
        catalogue="anthropic",
        options={"region": "global", "host": "aiplatform.googleapis.com"},
    ),
}


def address(base_url: str, options: Mapping[str, str]) -> str:
    """A base address with its slots filled. Raises InvalidRequest naming the missing option."""
    try:
        return base_url.format(**options)
    except (KeyError, IndexError, ValueError) as error:
        raise InvalidRequest(f"base_url: set the option {error} for {base_url}") from None

"""Every dialect by name, and every provider whose name is enough to configure it."""

from services.gateway.providers import (
    anthropic,
    bedrock,
    gemini,
    mistral,
    openai_chat,
    openai_responses,
    vertex,
)
from services.gateway.providers.base import Dialect, Preset, ProviderError, Translated
from services.gateway.providers.presets import PRESETS

DIALECTS: dict[str, Dialect] = {
    "anthropic": anthropic,
    "openai": openai_chat,
    "openai-responses": openai_responses,
    "gemini": gemini,
    "mistral": mistral,
    "bedrock": bedrock,
    "vertex": vertex,
}

__all__ = ["DIALECTS", "PRESETS", "Dialect", "Preset", "ProviderError", "Translated"]

"""Every dialect by name, and every provider whose name is enough to configure it."""

from services.gateway.providers import anthropic, gemini, mistral, openai_chat
from services.gateway.providers.base import Dialect, Preset, ProviderError, Translated
from services.gateway.providers.presets import PRESETS

DIALECTS: dict[str, Dialect] = {
    "anthropic": anthropic,
    "openai": openai_chat,
    "gemini": gemini,
    "mistral": mistral,
}

__all__ = ["DIALECTS", "PRESETS", "Dialect", "Preset", "ProviderError", "Translated"]

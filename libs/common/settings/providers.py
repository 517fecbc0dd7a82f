"""Providers and models: `[providers.NAME]` and `[models.NAME]`."""

from msgspec import Struct, field


class ProviderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known name (anthropic, openai, gemini, mistral, groq, …) brings dialect, address and
    catalogue with it; any other needs `dialect` and `base_url`.

    `api_key` is a location (`env:NAME`, `file:PATH`); `api_keys` several of them, which become
    one deployment each. `models` limits the provider to those names. `base_url` is the root
    that the dialect's paths are appended to.
    """

    dialect: str = ""
    base_url: str = ""
    api_key: str = ""
    api_keys: list[str] = []
    models: list[str] = []
    weight: int = 1
    catalogue: str = ""
    enabled: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)


class ModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Override or add a model's facts. Prices are decimal text in USD per million tokens."""

    provider: str = ""
    tier: str = ""
    context: int = 0
    max_output: int = 0
    input: str = ""
    output: str = ""
    cache_read: str = ""
    cache_write_5m: str = ""
    cache_write_1h: str = ""
    tools: bool | None = None
    images: bool | None = None
    documents: bool | None = None
    thinking: bool | None = None
    structured: bool | None = None

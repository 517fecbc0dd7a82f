"""What a user sees when everything is up: where, with which key, and what to try first."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from libs.common.settings.load import Loaded

# The guide's key: accepted on a loopback bind as long as no other is configured.
DEVELOPMENT_KEY = "sk-test-claude-dev"
PROMPTS = (
    "What is the capital of France?",
    "Write a Python function to calculate fibonacci",
    "Analyze the performance implications of microservices compared to a monolith",
)


def banner(url: str, loaded: Loaded, health: bytes) -> str:
    """The whole banner; `health` is the body of the gateway's GET /health."""
    key, about_key = key_to_use(loaded)
    return "\n".join(
        [
            "",
            f"ModelMuxer answers at {url}",
            f"  key        {key}  ({about_key})",
            f"  dashboard  {url}/dashboard",
            f"  providers  {providers(decoded(health))}",
            *(f"  notice     {notice}" for notice in _list(decoded(health).get("notices"))),
            "",
            "Try it:",
            f"  ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={key} claude",
            *curl(url, key),
            "",
            "Three prompts that reach three different models (asked → served is logged below):",
            *(f"  {prompt}" for prompt in PROMPTS),
            "",
            "Ctrl-C stops it; costs and budgets stay in " + loaded.settings.data_dir,
            "",
        ]
    )


def curl(url: str, key: str) -> list[str]:
    """A first request to paste into another terminal."""
    body = (
        '{"model":"modelmuxer-auto","max_tokens":300,'
        f'"messages":[{{"role":"user","content":"{PROMPTS[0]}"}}]}}'
    )
    return [
        f"  curl {url}/v1/messages -H 'x-api-key: {key}' \\",
        "    -H 'content-type: application/json' \\",
        f"    -d '{body}'",
    ]


def key_to_use(loaded: Loaded) -> tuple[str, str]:
    """A key to paste, and a word about it. A configured secret is named, never printed."""
    settings = loaded.settings
    keys = [key.strip() for key in settings.api_keys.split(",") if key.strip()]
    if DEVELOPMENT_KEY in keys or not (keys or settings.keys):
        return DEVELOPMENT_KEY, "the development key; set API_KEYS in .env for your own"
    if keys:
        source = loaded.sources.get("api_keys", "API_KEYS")
        return "YOUR_KEY", f"one of API_KEYS, from {source}"
    names = ", ".join(settings.keys)
    return "YOUR_KEY", f"the key of [keys.{names}]"


def providers(health: Mapping[str, Any]) -> str:
    """In plain words who answers."""
    names = [_name(provider) for provider in _list(health.get("providers"))]
    live = [name for name in names if name and name != "simulator"]
    if live:
        return "live: " + ", ".join(live)
    return (
        "none has a key, so the built-in simulator answers (no real model, no cost to you);\n"
        "             set ANTHROPIC_API_KEY, OPENAI_API_KEY, … in .env to reach a real one"
    )


def decoded(health: bytes) -> Mapping[str, Any]:
    try:
        body = msgspec.json.decode(health)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _name(provider: object) -> str:
    return str(provider.get("name", "")) if isinstance(provider, dict) else str(provider)

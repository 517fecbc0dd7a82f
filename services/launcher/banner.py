"""What a user sees when everything is up: where, with which key, and what to try first."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from libs.common.settings import Settings
from libs.common.settings.load import Loaded
from libs.common.settings.routing import RoutingSettings

# The guide's key: accepted on a loopback bind as long as no other is configured.
DEVELOPMENT_KEY = "sk-test-claude-dev"
SIMULATED = (
    "none has a key, so the built-in simulator answers (no real model, no cost to you); "
    "set ANTHROPIC_API_KEY, OPENAI_API_KEY, … in .env to reach a real one"
)
# The narrowest usual terminal, and how many keys are named.
WIDTH, NAMES = 80, 3
PROMPTS = (
    "What is the capital of France?",
    "Write a Python function to calculate fibonacci",
    "Analyze the performance implications of microservices compared to a monolith",
)


def banner(url: str, loaded: Loaded, health: Mapping[str, Any]) -> str:
    """The whole banner, at most 80 columns wide; `health` is the gateway's GET /health."""
    key, about_key = key_to_use(loaded)
    live = live_providers(health)
    return "\n".join(
        [
            "",
            f"ModelMuxer answers at {url}",
            _row("key", key),
            _row("", about_key),
            _row("dashboard", f"{url}/dashboard"),
            _row("providers", "live: " + ", ".join(live) if live else SIMULATED),
            *(_row("notice", notice) for notice in notices(health)),
            "",
            "Try it:",
            f"  ANTHROPIC_BASE_URL={url} \\",
            f"    ANTHROPIC_AUTH_TOKEN={key} claude",
            *curl(url, key),
            "",
            three_prompts(loaded.settings, bool(live)),
            *(f"  {prompt}" for prompt in PROMPTS),
            "",
            _wrapped(f"Ctrl-C stops it; {what_stays(loaded.settings)}", "", ""),
            "",
        ]
    )


def curl(url: str, key: str) -> list[str]:
    """A first request to paste into another terminal."""
    return [
        f"  curl {url}/v1/messages -H 'x-api-key: {key}' \\",
        "    -H 'content-type: application/json' \\",
        """    -d '{"model": "modelmuxer-auto", "max_tokens": 300, "messages": [""",
        f"""         {{"role": "user", "content": "{PROMPTS[0]}"}}]}}'""",
    ]


def three_prompts(settings: Settings, live: bool) -> str:
    """What the prompts show. Who serves them is known beforehand in a fresh tree alone."""
    if live or settings.keys or settings.routing != RoutingSettings():
        return "Three prompts, from easy to hard; who serves each, and why, is logged below:"
    return "Three prompts that reach three different models; each is logged below:"


def what_stays(settings: Settings) -> str:
    """Where yesterday's numbers will be found tomorrow."""
    elsewhere = settings.redis_url or settings.clickhouse_url
    return f"costs and budgets stay in {'their stores' if elsewhere else settings.data_dir}"


def key_to_use(loaded: Loaded) -> tuple[str, str]:
    """A key to paste, and a word about it. A configured secret is named, never printed."""
    settings = loaded.settings
    keys = [key.strip() for key in settings.api_keys.split(",") if key.strip()]
    known = DEVELOPMENT_KEY in (*keys, *(entry.key for entry in settings.keys.values()))
    if known or not (keys or settings.keys):
        return DEVELOPMENT_KEY, "the development key; set API_KEYS in .env for your own"
    if keys:
        source = loaded.sources.get("api_keys", "API_KEYS")
        return "YOUR_KEY", f"one of API_KEYS, from {source}"
    return "YOUR_KEY", _one_of([f"[keys.{name}]" for name in settings.keys])


def _one_of(names: list[str]) -> str:
    if len(names) == 1:
        return f"the key of {names[0]}"
    told, rest = names[:NAMES], names[NAMES:]
    last = f"{len(rest)} more" if rest else told.pop()
    return f"a key of {', '.join(told)} or {last}"


def live_providers(health: Mapping[str, Any]) -> list[str]:
    names = [_name(provider) for provider in _list(health.get("providers"))]
    return [name for name in names if name and name != "simulator"]


def notices(health: Mapping[str, Any]) -> list[str]:
    """What is wrong with providers, in sentences."""
    return [str(notice) for notice in _list(health.get("notices"))]


def decoded(health: bytes) -> Mapping[str, Any]:
    try:
        body = msgspec.json.decode(health)
    except msgspec.DecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _row(name: str, text: str) -> str:
    return _wrapped(text, f"  {name:<11}", " " * 13)


def _wrapped(text: str, first: str, rest: str) -> str:
    """No word is broken: it may be a path or an address to copy."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []


def _name(provider: object) -> str:
    return str(provider.get("name", "")) if isinstance(provider, dict) else str(provider)

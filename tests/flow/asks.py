"""Requests that the tests of this folder send."""

from typing import Any

SMALL: dict[str, Any] = {
    "model": "claude-sonnet-5-5",
    "max_tokens": 400,
    "messages": [{"role": "user", "content": "Hi"}],
}
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def ask(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return SMALL | {"messages": [{"role": "user", "content": text}]} | more


def streamed(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return ask(text, stream=True, **more)

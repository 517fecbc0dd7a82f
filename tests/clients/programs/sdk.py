"""What a user of the Python SDK does, in any version of it. Prints what came of it as JSON."""

import json
import sys
from typing import Any

import anthropic

MODEL = "claude-sonnet-5-5"
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def main(base_url: str, key: str) -> dict[str, Any]:
    client = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=1, timeout=30)
    found: dict[str, Any] = {"version": anthropic.__version__}
    found["whole"] = _text(_ask(client, "say [[stand-in: say text=whole]]"))
    question: Any = [{"role": "user", "content": "say [[stand-in: think text=streamed]]"}]
    with client.messages.stream(model=MODEL, max_tokens=400, messages=question) as stream:
        found["streamed"] = "".join(stream.text_stream)
    found["tool"] = _tool_loop(client)
    count = client.messages.count_tokens(model=MODEL, messages=question)
    found["counted"] = count.input_tokens
    models = client.models.list(limit=3)
    found["models"] = [model.id for model in models.data]
    found["paged"] = len([model.id for model in models])
    try:
        _ask(client, "fail [[stand-in: 429 retry-after=0 should-retry=false]]")
    except anthropic.RateLimitError as error:
        found["error"] = [error.status_code, str(error.response.headers.get("request-id"))[:4]]
    return found


def _ask(client: anthropic.Anthropic, words: str) -> Any:
    messages: Any = [{"role": "user", "content": words}]
    return client.messages.create(model=MODEL, max_tokens=400, messages=messages)


def _tool_loop(client: anthropic.Anthropic) -> str:
    words = 'weather [[stand-in: tool name=get_weather input=\'{"city": "Bern"}\' then=sunny]]'
    messages: Any = [{"role": "user", "content": words}]
    first = client.messages.create(model=MODEL, max_tokens=400, messages=messages, tools=[TOOL])
    call: Any = first.content[-1]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 °C"}
    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    return _text(
        client.messages.create(model=MODEL, max_tokens=400, messages=messages, tools=[TOOL])
    )


def _text(message: Any) -> str:
    return str(message.content[-1].text)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:3])))

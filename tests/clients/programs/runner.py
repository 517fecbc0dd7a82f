"""The tool runner of the new SDK, which keeps the conversation as a message thread."""

import json
import sys

import anthropic
from anthropic import beta_tool


@beta_tool
def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: its name
    """
    return f"21 °C in {city}"


def main(base_url: str, key: str) -> dict[str, object]:
    client = anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=1, timeout=30)
    words = 'weather [[stand-in: tool name=get_weather input=\'{"city": "Bern"}\' then=sunny]]'
    runner = client.beta.messages.tool_runner(
        model="claude-sonnet-5-5",
        max_tokens=400,
        tools=[get_weather],
        messages=[{"role": "user", "content": words}],
    )
    answer = runner.until_done()
    return {"text": answer.content[-1].text}  # type: ignore[union-attr]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:3])))

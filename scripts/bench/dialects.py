"""What translation costs: a 78 KB request of an agent, and one streamed delta.

    python -m scripts.bench.dialects

Prints microseconds on one core; the goals are 2 ms a request and 60 µs a delta.
"""

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgspec

from libs.common.catalogue import Catalogue
from libs.common.settings import Settings
from scripts.bench.bodies import body
from services.gateway.adapt import Fields, adapt_claude
from services.gateway.body import Body
from services.gateway.doors import DOORS
from services.gateway.providers import DIALECTS
from services.gateway.providers.events import Writer

REQUEST_GOAL, DELTA_GOAL = 2_000.0, 60.0
MODELS = {
    "openai": "gpt-4o",
    "openai-responses": "gpt-6.1-terra",
    "gemini": "gemini-3.8-flash",
    "mistral": "mistral-medium-3-5",
}
Json = dict[str, Any]


def cost(work: Callable[[], object], rounds: int = 200) -> float:
    """The median of the rounds in microseconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def delta(name: str) -> bytes:
    """One piece of text as that provider streams it."""
    if name == "gemini":
        content = {"parts": [{"text": "some words "}], "role": "model"}
        return b'data: {"candidates":[{"content":%b}]}\r\n\r\n' % json.dumps(content).encode()
    if name == "openai-responses":
        kind = "response.output_text.delta"
        event = {"type": kind, "output_index": 0, "delta": "some words "}
        return f"event: {kind}\ndata: {json.dumps(event)}\n\n".encode()
    choice = {"index": 0, "delta": {"content": "some words "}, "finish_reason": None}
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}
    return b"data: %b\n\n" % json.dumps(chunk).encode()


def streamed(name: str) -> float:
    """Microseconds a delta, through a translator that has begun."""
    translator, piece, count = DIALECTS[name].Stream(MODELS[name], 1), delta(name), 1000
    translator.feed(piece)

    def feed() -> None:
        for _ in range(count):
            translator.feed(piece)

    return cost(feed, 20) / count


def relayed(name: str) -> float:
    """Microseconds a delta, from canonical events to a client's chunks."""
    writer, count = Writer("openai", "m", 1), 1000
    writer.text("some words ")
    relay = DOORS[name].Stream()
    relay.feed(b"".join(writer.take()))
    writer.text("some words ")
    piece = b"".join(writer.take())

    def feed() -> None:
        for _ in range(count):
            relay.feed(piece)

    return cost(feed, 20) / count


def line(what: str, microseconds: float, goal: float) -> None:
    print(f"{what:<44}{microseconds:>9.1f} µs   goal {goal:>6.0f} µs")


def main() -> None:
    raw = body("78k", stream=True)
    catalogue = Catalogue.load(Settings())
    print(f"request: {len(raw) / 1000:.0f} KB, medians of 200 rounds")
    for name, model in MODELS.items():
        facts, to_upstream = catalogue.facts(model), DIALECTS[name].to_upstream

        def whole(model: str = model, facts: Any = facts, to: Any = to_upstream) -> None:
            asked = Body(raw)
            made = to(asked.tree(asked.fields), model, facts, lambda _: "")
            msgspec.json.encode(made.body)

        line(f"request to {name}, decoded to encoded", cost(whole), REQUEST_GOAL)
    fields: Fields = Body(raw).fields
    for served in ("claude-haiku-4-5", "claude-opus-5-5"):

        def adapt(served: str = served) -> None:
            adapt_claude(fields, [], "claude-opus-4-8", served)

        line(f"request adapted to {served}", cost(adapt), REQUEST_GOAL)
    for name in MODELS:
        line(f"delta from {name}", streamed(name), DELTA_GOAL)
    for name in DOORS:
        line(f"delta to a {name} client", relayed(name), DELTA_GOAL)


if __name__ == "__main__":
    main()

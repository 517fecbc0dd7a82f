"""What a test scripts, and what it reads afterwards."""

import asyncio
from collections import deque
from typing import Any

from tests.support.provider.bill import Bill, Line, Used, charge, priced_as
from tests.support.provider.caching import PromptCache
from tests.support.provider.calls import Call
from tests.support.provider.scene import Scene, from_marker

Json = dict[str, Any]
KEY = "sk-ant-stand-in"
ROOTS = {"openai": "/openai/v1", "gemini": "/v1beta", "mistral": "/mistral/v1"}
MESSAGE_PATHS = (
    "/v1/messages",
    "/openai/v1/chat/completions",
    "/openai/v1/responses",
    "/deepseek/chat/completions",
    "/mistral/v1/chat/completions",
    "/openai/v1/embeddings",
    "/mistral/v1/embeddings",
)


class Provider:
    """`key` is the credential it takes, `bearer` that of a subscription. `keys` are others, each
    with the status it gets: 200 is taken, 401 rejected, 429 over its limit."""

    def __init__(self, key: str = KEY) -> None:
        self.key, self.bearer = key, "sk-ant-oat01-subscription"
        self.url = ""
        self.reset()

    def reset(self) -> None:
        self.calls: list[Call] = []
        self.bill = Bill()
        self.cache = PromptCache()
        self.keys: dict[str, int] = {}
        self.always: Scene | None = None
        self.threads: dict[str, list[Json]] = {}
        self.store: dict[str, Json] = {}
        self._scenes: deque[Scene] = deque()
        self._failed: dict[str, int] = {}

    def script(self, *scenes: Scene) -> None:
        """Play these scenes, in order, to the next calls; then the default again."""
        self._scenes.extend(scenes)

    @property
    def messages(self) -> list[Call]:
        """The calls that asked for an answer (not the counting, listing or probing ones)."""
        return [c for c in self.calls if c.method == "POST" and _is_message(c.path)]

    @property
    def last(self) -> Call:
        return self.messages[-1]

    def base_url(self, dialect: str = "anthropic") -> str:
        """What belongs into `[providers.…] base_url`."""
        return self.url + ROOTS.get(dialect, "")

    async def idle(self, seconds: float = 10.0) -> None:
        """Wait until no call is in progress."""
        async with asyncio.timeout(seconds):
            for call in list(self.calls):
                await call.over.wait()

    async def arrived(self, count: int = 1, seconds: float = 10.0) -> Call:
        """Wait until so many message calls have come; returns the last of them."""
        async with asyncio.timeout(seconds):
            while len(self.messages) < count:
                await asyncio.sleep(0.005)
        return self.messages[count - 1]

    def scene(self, mark: str, results: int) -> Scene:
        """The scene of the next call: scripted, else marked, else the usual one."""
        if self._scenes:
            scene = self._scenes[0]
            self._failed["script"] = self._failed.get("script", 0) + 1
            if self._failed["script"] >= max(1, scene.times):
                self._scenes.popleft()
                self._failed["script"] = 0
            return scene
        if not mark:
            return self.always or Scene()
        scene = from_marker(mark, results)
        self._failed[mark] = self._failed.get(mark, 0) + 1
        return scene if not scene.times or self._failed[mark] <= scene.times else Scene()

    def charge(self, call: Call, answer: Json, used: Used, complete: bool = True) -> None:
        cost = charge(answer["model"], used) if priced_as(answer["model"]) else 0
        line = Line(
            request_id=call.request_id,
            message_id=answer.get("id", ""),
            model=answer["model"],
            used=used,
            cost=cost,
            complete=complete,
        )
        self.bill.add(line)


def _is_message(path: str) -> bool:
    return path in MESSAGE_PATHS or path.endswith("enerateContent")

"""The prompt cache of the stand-in: which tokens of a request are read, written or plain."""

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

from tests.support.provider.bill import Used

Json = dict[str, Any]
LEAST = 1024
SECONDS = {"5m": 300.0, "1h": 3600.0}
# Claude Code's attribution block changes with every prompt and is no part of the prefix.
ATTRIBUTION = "x-anthropic-billing-header"


def size(value: object) -> int:
    """Tokens, as this provider counts them: four bytes of JSON each."""
    return max(1, len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")) // 4)


class PromptCache:
    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def count(self, body: Json) -> Used:
        """Charge the input of a request, and remember its prefixes."""
        now, total, digest = time.monotonic(), 0, hashlib.sha256(str(body["model"]).encode())
        read, marks = 0, []
        for block, mark in _prefix(body):
            text = json.dumps(block, sort_keys=True, ensure_ascii=False)
            total += size(block)
            digest.update(text.encode("utf-8", "replace"))
            if not mark or total < LEAST:
                continue
            ttl = mark.get("ttl", "5m")
            marks.append((total, digest.hexdigest(), ttl))
            if self._until.get(digest.hexdigest(), 0) > now:
                read = total
        written = {"5m": 0, "1h": 0}
        done = read
        for tokens, key, ttl in marks:
            written[ttl] += max(0, tokens - done)
            done = max(done, tokens)
            self._until[key] = now + SECONDS[ttl]
        plain = max(total - done, 0 if done else 1)
        return Used(input=plain, read=read, write_5m=written["5m"], write_1h=written["1h"])


def _prefix(body: Json) -> Iterator[tuple[object, Json]]:
    """The parts of a request in the order they are cached, each with its mark."""
    for tool in body.get("tools") or []:
        yield _bare(tool)
    system = body.get("system") or []
    for block in [{"type": "text", "text": system}] if isinstance(system, str) else system:
        if not str(block.get("text", "")).startswith(ATTRIBUTION):
            yield _bare(block)
    for message in body["messages"]:
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content or []
        for block in blocks:
            bare, mark = _bare(block)
            yield [message.get("role"), bare], mark


def _bare(block: Json) -> tuple[Json, Json]:
    rest = {name: value for name, value in block.items() if name != "cache_control"}
    return rest, block.get("cache_control") or {}

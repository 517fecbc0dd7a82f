"""What broke Claude Code behind other gateways: 54 reported faults, one row each.

Each row names the symptom and where it was reported. A test says which rows it is about with
`@covers(1, 2)`; docs/compatibility.md is made from both, and a test keeps it so.
"""

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

CASES: dict[int, tuple[str, str]] = {
    1: ("a tool runs twice: its block is stopped twice", "litellm#37273"),
    2: ("a tool is called with nothing: its arguments never arrive as deltas", "litellm#25321"),
    3: (
        "an empty answer: thinking inside a text block, or a second message_start",
        "litellm#32357",
    ),
    4: ("the client fails on usage: fields missing from Anthropic's shape", "litellm#24176"),
    5: ("the context meter stays at 0: message_start says 0 input tokens", "litellm#41406"),
    6: (
        "the client fails at the end: message_delta without usage, a stray [DONE]",
        "free-claude-code#43",
    ),
    7: ("parallel tool calls run into one another", "litellm#15307"),
    8: ("block indices have gaps when the provider's own tools run", "bifrost#4890"),
    9: ("tool arguments come in one burst, minutes late", "bifrost#2048"),
    10: ("a long silence cuts the stream: no ping events", "llmtrim#221"),
    11: (
        "a load balancer cuts before the first token: no ping before the provider answers",
        "litellm#37322",
    ),
    12: ("the repetition of a broken stream gets an empty answer", "meridian#1098"),
    13: ("an empty answer: a reasoning model put all of it into reasoning", "litellm#25848"),
    14: ("a streamed request is answered with plain JSON", "litellm#14315"),
    15: ("invalid signature after the model was switched", "litellm#26005"),
    16: ("signature: Field required, since the gateway dropped it", "opencode#25005"),
    17: (
        "expected thinking, found tool_use: thinking was removed before a tool turn",
        "openai-agents-python#1704",
    ),
    18: ("a thinking block without text was dropped as empty", "litellm#38809"),
    19: ("a slow agent: thinking.display was overridden", "bifrost#5185"),
    20: ("the signature came in the wrong kind of delta", "bifrost#5638"),
    21: ("DeepSeek wants its reasoning_content back", "claude-code-router#1378"),
    22: ("one tool call, two results", "litellm#16711"),
    23: ("a block was deleted to stay within four cache marks", "claude-relay-service#727"),
    24: ("a fifth cache mark was added", "llm-gateway#2253"),
    25: ("a cache mark on an emptied text block", "claude-code#54039"),
    26: ("blank text blocks are refused", "claude-code#23390"),
    27: ("a forced web search on a provider that has none", "bifrost#3596"),
    28: ("tool history without tools is refused", "claude-code#10222"),
    29: ("role system in mid-conversation on a model that lacks it", "claude-code#77698"),
    30: ("cache misses: a system message was moved to the front", "litellm#32730"),
    31: ("Gemini refuses words of JSON Schema", "claude-code-router#272"),
    32: ("a tool schema with anyOf at its top is refused", "claude-code-buddy#32"),
    33: ("cache marks lost on tool blocks", "bifrost#1935"),
    34: ("ttl 1h is dropped, and cached for five minutes", "litellm#32154"),
    35: (
        "every request misses the cache: the attribution block changes each time",
        "claude-code#68900",
    ),
    36: ("cache_control of the whole request is refused", "litellm#26320"),
    37: ("betas of Anthropic reach a provider that refuses them", "litellm#20021"),
    38: ("a field kept, its beta dropped", "claude-code#12122"),
    39: ("endless repetition: retry-after and rate-limit headers lost", "litellm#37754"),
    40: ("no compaction: the context-length error was reworded", "claude-code-router#1799"),
    41: ("a refusal ends the session", "litellm#39157"),
    42: ("an overload inside the stream is logged as success", "litellm#24004"),
    43: ("a Claude subscription does not pass", "litellm#37344"),
    44: ("count_tokens fails, or answers 0", "litellm#13252"),
    45: ("the small background model is not found", "claude-code#41120"),
    46: ("the first listed model cannot be asked", "claude-code-router#1535"),
    47: ("subagents go another way than their session", "litellm#39239"),
    48: ("a translated request hangs", "langwatch#6184"),
    49: ("a provider's HTML page becomes a fault of the gateway", "claude-code-router#1016"),
    50: ("HEAD / is not answered", "free-claude-code#473"),
    51: ("a cancelled stream costs nothing", "litellm#37558"),
    52: ("cached tokens are counted twice", "bifrost#3451"),
    53: ("spending over /v1/messages passes the budget by", "litellm#38176"),
    54: ("a burst of count_tokens eats the rate limit", "claude-relay-service#731"),
}

# What the naive relay cannot get wrong, and why.
CANNOT_FAIL: dict[int, str] = {}


def covers(*numbers: int) -> Callable[[T], T]:
    """The test shows these rows."""

    def mark(test: T) -> T:
        test.cases = numbers  # type: ignore[attr-defined]
        return test

    return mark

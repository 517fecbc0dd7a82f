"""What kind of work a request is: a label, how sure we are, how hard such work is.

A label names a request and sets the prior; the scorer and the prices decide (`quality.py`).
"""

import re
from functools import lru_cache

from msgspec import Struct

from libs.common.contracts.routing import Features
from services.router.words import said

BACKGROUND = {"title", "summary", "topic", "web_search", "small"}


class Label(Struct, frozen=True, kw_only=True):
    """`difficulty` 0..1 is the prior of the label; `output` the tokens such an answer takes."""

    name: str
    confidence: float
    difficulty: float
    output: int


# name: (difficulty, expected output tokens)
KINDS: dict[str, tuple[float, int]] = {
    "title": (0.10, 40),
    "topic": (0.10, 40),
    "small": (0.15, 300),
    "summary": (0.25, 1500),
    "web_search": (0.25, 600),
    "compact": (0.45, 2500),
    "simple": (0.15, 150),
    "chat": (0.22, 300),
    "general": (0.40, 500),
    "code": (0.60, 900),
    "agent": (0.60, 450),
    "analysis": (0.80, 1500),
}

WORDS = re.compile(r"[^\W\d_]+(?:[+#]+)?|\d+", re.UNICODE)

SHAPES = re.compile(
    r"```|^\s*(?:def|class|import|from|function|const|let|var|public|#include|SELECT)\b"
    r"|[;{}]\s*$|=>|(?<=\w)\([^)]*\)\s*[:{]|Traceback \(most|File \"[^\"]+\", line",
    re.MULTILINE,
)
# What every shape begins or ends with: prose has none of it, which is sooner seen.
SIGNS = ("```", "=>", "Traceback (most", 'File "')
KEYWORD = re.compile(
    r"^\s*(?:def|class|import|from|function|const|let|var|public|#include|SELECT)\b", re.MULTILINE
)
LINE_END = re.compile(r"[;{}]\s*$", re.MULTILINE)
CALL = re.compile(r"\([^)]*\)\s*[:{]")
# A coding agent asks for its conversation to be summed up, so that it can go on in less.
COMPACT = re.compile(
    r"<summary>|\bsummary of (?:the|our|this) conversation|\bconversation so far\b"
)
# A question of few words, however politely it is introduced.
ASKS = re.compile(
    r"^\W*(?:(?:hi|hello|hey|please|just|do|quick question|(?:can|could|would|will) you)\b\W*)*"
    r"(?:what(?:'s|s)?|who|whose|when|where|which|(?:of|in) which|"
    r"how (?:many|much|old|far|tall|long|big|do|does)|is|are|does|did|do|can|name|define|spell|"
    r"translate|convert|capital (?:city )?of|list|state|say|identify|let me know|"
    r"(?:tell|give|remind) me|i forgot|i(?:'d| would) like to know|wie|was|wer|wann|wo|wieviel\w*|"
    r"quel\w*|qui|où|quand|combien|cu[aá]\w*|qu[ié]\w*|dónde)\b",
)
SIMPLE_CHARS, SHORT_CHARS = 160, 40
STRONG_EFFORT = ("max", "xhigh")


def label_of(features: Features) -> Label:
    """Name the work a request asks for."""
    if features.background:
        return _label(features.background if features.background in KINDS else "small", 0.95)
    text = features.user_text
    if features.messages > 2 and COMPACT.search(text.lower()):
        return _label("compact", 0.90)
    name, confidence = _of_text(text, features.user_chars or len(text))
    if features.plan_mode or features.effort in STRONG_EFFORT:
        return _label("analysis", 0.90)
    agentic = features.tools >= 3
    if agentic and (name in ("general", "chat") or features.last_is_tool_result):
        return _label("agent", 0.75)
    if not text and not features.tools and 0 < features.max_tokens <= 512:
        return _label("small", 0.80)
    return _label(name, confidence)


def label_within(features: Features, before: str) -> Label:
    """The label of a turn in a session whose task was named `before`: tool results and short
    answers ("yes, go on") carry it on."""
    label = label_of(features)
    if before not in KINDS or features.background or features.plan_mode:
        return label
    short = 0 < features.user_chars <= SHORT_CHARS and label.name in ("chat", "general", "agent")
    if features.last_is_tool_result or (short and features.user_turns > 1):
        return label if features.effort in STRONG_EFFORT else _label(before, label.confidence)
    return label


def is_scored(features: Features) -> bool:
    """Does the text say how hard the work is? Not in an agent's loop, where it never did."""
    return not features.background and features.tools < 3


@lru_cache(512)
def _of_text(text: str, chars: int) -> tuple[str, float]:
    """The label the words speak for; confidence grows with their number."""
    lower = text.lower()
    found, shapes = said(lower), shapes_in(text)
    deep = found.deep + found.hints
    coding = shapes * 1.5 + found.code + (0.5 if found.make and found.code else 0)
    if coding >= 1 and (coding >= 1.5 * deep or (found.make and not deep)):
        return "code", _sure(0.80, coding)
    if deep > 1 or (deep and _has_words(text, 5 if found.deep else 8)):
        return "analysis", _sure(0.85, deep)
    if (
        chars <= SIMPLE_CHARS
        and not found.deep
        and not found.make
        and (ASKS.search(lower) or "?" in text)
    ):
        return "simple", 0.90
    if 0 < chars <= SIMPLE_CHARS // 2 and not found.make:
        return "chat", 0.70
    return "general", 0.60


def shapes_in(text: str) -> int:
    """How often the text looks like code."""
    looks = any(sign in text for sign in SIGNS)
    if looks or KEYWORD.search(text) or LINE_END.search(text) or CALL.search(text):
        return len(SHAPES.findall(text))
    return 0


def _has_words(text: str, count: int) -> bool:
    return any(number >= count for number, _ in enumerate(WORDS.finditer(text), 1))


def _sure(base: float, evidence: float) -> float:
    return min(0.99, round(base + 0.05 * min(evidence, 3), 2))


def _label(name: str, confidence: float) -> Label:
    difficulty, output = KINDS[name]
    return Label(name=name, confidence=confidence, difficulty=difficulty, output=output)

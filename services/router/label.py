"""What kind of work a request is: a label, how sure we are, how hard such work is.

A label names a request and sets the prior; the scorer and the prices decide (`quality.py`).
"""

import re

from msgspec import Struct

from libs.common.contracts.routing import Features

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
    "simple": (0.15, 150),
    "chat": (0.30, 300),
    "general": (0.40, 500),
    "code": (0.60, 900),
    "agent": (0.60, 450),
    "analysis": (0.80, 1500),
}

WORDS = re.compile(r"[^\W\d_]+(?:[+#]+)?|\d+", re.UNICODE)

# Stems that tell code and analysis apart from talk, in the languages our users write most.
CODE = re.compile(
    r"\b(?:python|javascript|typescript|java|kotlin|rust|golang|swift|php|perl|haskell|scala|"
    r"c\+\+|c#|sql|bash|powershell|html|css|react|django|flask|fastapi|numpy|pandas|regex|"
    r"regexp|dockerfile|kubernetes|yaml|json schema|graphql|"
    r"cod(?:e|ing|igo|ificar)|program(?:m|a|me|ming)?\w*|script\w*|function\w*|funktion\w*|"
    r"fonction\w*|funci[oó]n\w*|método|method\w*|class(?:es)?|klasse\w*|algorithm\w*|"
    r"implement\w*|refactor\w*|debug\w*|compil\w*|unit test\w*|pytest|stack ?trace|traceback|"
    r"exception|segfault|null ?pointer|bug(?:s|fix)?|api endpoint|endpoint\w*|recursi\w*|"
    r"linked list|binary search|hash ?map|array\w*|loop|lint\w*|git (?:commit|rebase|merge))"
    r"(?!\w)",
    re.IGNORECASE,
)
SHAPES = re.compile(
    r"```|^\s*(?:def|class|import|from|function|const|let|var|public|#include|SELECT)\b"
    r"|[;{}]\s*$|=>|\w+\([^)]*\)\s*[:{]|Traceback \(most|File \"[^\"]+\", line",
    re.MULTILINE,
)
MAKE = re.compile(
    r"\b(?:write|writ\w+|implement\w*|create|build|add|fix|refactor\w*|debug|optimi[sz]e|port|"
    r"generate|develop|schreib\w*|erstell\w*|écri\w+|escrib\w+|code up|make|give me|need)\b",
    re.IGNORECASE,
)
DEEP = re.compile(
    r"\b(?:anal[yi]\w*|evaluat\w*|assess\w*|trade-?\s?offs?|implications?|compar(?:e|ing|ison)\w*|"
    r"critiqu\w*|strateg\w*|architect\w*|in[- ]depth|comprehensive\w*|thorough\w*|rigorous\w*|"
    r"prove|proof|derive|derivation|root causes?|consequences?|scalab\w*|bottlenecks?|"
    r"pros and cons|weigh\w*|examin\w*|investigat\w*|reason through|long-term|"
    r"feasib\w*|risk\w*|impact\w*|design (?:a|an|the)|bewert\w*|auswirk\w*|analys\w*|"
    r"évalu\w*|implicaci\w*|ventajas)\b",
    re.IGNORECASE,
)
ASKS = re.compile(
    r"^\W*(?:what(?:'s| is| are| was| year| time| day)?|who|when|where|which|how (?:many|much|old|"
    r"far|tall|long|do you (?:say|spell))|is|are|does|did|can|name|define|spell|translate|tell me|"
    r"convert|wie|was|wer|wann|wo|quel\w*|qui|où|cu[aá]l|qu[ié]\w*|dónde)\b",
    re.IGNORECASE,
)
SIMPLE_CHARS = 160


def label_of(features: Features) -> Label:
    """Name the work a request asks for."""
    if features.background:
        return _label(features.background if features.background in KINDS else "small", 0.95)
    text = features.user_text
    name, confidence = _of_text(text, features.user_chars or len(text))
    if features.plan_mode or features.effort in ("max", "xhigh"):
        return _label("analysis", 0.90)
    agentic = features.tools >= 3
    if agentic and (name in ("general", "chat") or features.last_is_tool_result):
        return _label("agent", 0.75)
    if not text and not features.tools and 0 < features.max_tokens <= 512:
        return _label("small", 0.80)
    return _label(name, confidence)


def _of_text(text: str, chars: int) -> tuple[str, float]:
    """The label the words speak for; confidence grows with their number."""
    shapes, code = len(SHAPES.findall(text)), len(CODE.findall(text))
    deep, make = len(DEEP.findall(text)), bool(MAKE.search(text))
    words = len(WORDS.findall(text))
    coding = shapes * 1.5 + code + (0.5 if make and code else 0)
    if coding >= 1 and (coding >= 1.5 * deep or (make and not deep)):
        return "code", _sure(0.80, coding)
    if deep and (words >= 8 or deep > 1):
        return "analysis", _sure(0.85, deep)
    if chars <= SIMPLE_CHARS and not deep and not make and (ASKS.search(text) or "?" in text):
        return "simple", 0.90
    if 0 < chars <= SIMPLE_CHARS // 2 and not make:
        return "chat", 0.70
    return "general", 0.60


def _sure(base: float, evidence: float) -> float:
    return min(0.99, round(base + 0.05 * min(evidence, 3), 2))


def _label(name: str, confidence: float) -> Label:
    difficulty, output = KINDS[name]
    return Label(name=name, confidence=confidence, difficulty=difficulty, output=output)

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
    "compact": (0.45, 2500),
    "simple": (0.15, 150),
    "chat": (0.22, 300),
    "general": (0.40, 500),
    "code": (0.60, 900),
    "agent": (0.60, 450),
    "analysis": (0.80, 1500),
}

WORDS = re.compile(r"[^\W\d_]+(?:[+#]+)?|\d+", re.UNICODE)

# Matched against lower-case text: ignoring case costs five times as much (measured).
# Stems that tell code and analysis apart from talk, in the languages our users write most.
CODE = re.compile(
    r"\b(?:python|javascript|typescript|java|kotlin|rust|golang|swift|php|perl|haskell|scala|"
    r"ruby|c\+\+|c#|sql|bash|shell|powershell|html|css|react|vue|django|flask|fastapi|numpy|"
    r"pandas|regex|regexp|dockerfile|terraform|ya?ml|json|csv|graphql|webhook|"
    r"cod(?:e|es|ing|igo|ificar)|program(?:m|a|me|ming)?\w*|scripts?|skript\w*|snippet\w*|"
    r"functions?|funktion\w*|fonction\w*|funci[oó]n\w*|métod\w*|methods?|class(?:es)?|klasse\w*|"
    r"algorithm\w*|fibonacci|quicksort|palindrom\w*|implement\w*|refactor\w*|debug\w*|compil\w*|"
    r"unit[- ]tests?|pytest|stack ?trace|traceback|exceptions?|segfault|null ?pointer|"
    r"bug(?:s|fix)?|(?:api|rest) endpoints?|recursi\w*|linked list|binary search|hash ?map|arrays?|"
    r"strings?|lint\w*|pars(?:e|er|ing)|async|iterator|one-liner|git (?:commit|rebase|merge))"
    r"(?!\w)"
    r"|\bin (?:go|c|r|lua|elixir|julia|dart|zig)\b",
)
SHAPES = re.compile(
    r"```|^\s*(?:def|class|import|from|function|const|let|var|public|#include|SELECT)\b"
    r"|[;{}]\s*$|=>|\w+\([^)]*\)\s*[:{]|Traceback \(most|File \"[^\"]+\", line",
    re.MULTILINE,
)
MAKE = re.compile(
    r"\b(?:writ\w+|implement\w*|creat\w*|build|add|fix|refactor\w*|debug|optimi[sz]e|port|"
    r"generate|develop\w*|draft|compose|schreib\w*|erstell\w*|écri\w+|escrib\w+)\b",
)
DEEP = re.compile(
    r"\b(?:anal[yi][sz]\w*|evaluat\w*|assess\w*|trade-?\s?offs?|implications?|compar(?:e|ing|ison)|"
    r"contrast|critiqu\w*|critical\w*|strateg\w*|architect\w*|in[- ]depth|deep dive|detailed|"
    r"comprehensive\w*|thorough\w*|rigorous\w*|nuanced|prove|proof|derive|derivation|discuss\w*|"
    r"debate|argue|explor\w+|elaborate|synthes\w+|root causes?|consequences?|ramifications?|"
    r"scalab\w*|bottlenecks?|pros and cons|advantages and|weigh|examin\w*|investigat\w*|"
    r"reason through|think through|long-term|second-order|feasib\w*|risks?|impacts?|"
    r"design (?:a|an|the)|effects? of .{3,80}? on|relationship between|interplay|challenges|"
    r"considerations|recommend\w*|forecast\w*|how (?:will|would|should|could)|explain (?:why|how)|"
    r"bewert\w*|auswirk\w*|vergleich\w*|évalu\w*|compar[ae]\w*|implicaci\w*|ventajas)\b",
)
# A coding agent asks for its conversation to be summed up, so that it can go on in less.
COMPACT = re.compile(
    r"<summary>|\bsummary of (?:the|our|this) conversation|\bconversation so far\b"
)
ASKS = re.compile(
    r"^\W*(?:what(?:'s|s)?|who|when|where|which|how (?:many|much|old|far|tall|long|big|do|does)|"
    r"is|are|does|did|do|can|name|define|spell|translate|tell me|convert|capital of|list|give me|"
    r"wie|was|wer|wann|wo|wieviel\w*|quel\w*|qui|où|quand|combien|cu[aá]\w*|qu[ié]\w*|dónde)\b",
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


def _of_text(text: str, chars: int) -> tuple[str, float]:
    """The label the words speak for; confidence grows with their number."""
    lower = text.lower()
    shapes, code = len(SHAPES.findall(text)), len(CODE.findall(lower))
    deep, make = len(DEEP.findall(lower)), bool(MAKE.search(lower))
    words = len(WORDS.findall(text))
    coding = shapes * 1.5 + code + (0.5 if make and code else 0)
    if coding >= 1 and (coding >= 1.5 * deep or (make and not deep)):
        return "code", _sure(0.80, coding)
    if deep and (words >= 8 or deep > 1):
        return "analysis", _sure(0.85, deep)
    if chars <= SIMPLE_CHARS and not deep and not make and (ASKS.search(lower) or "?" in text):
        return "simple", 0.90
    if 0 < chars <= SIMPLE_CHARS // 2 and not make:
        return "chat", 0.70
    return "general", 0.60


def _sure(base: float, evidence: float) -> float:
    return min(0.99, round(base + 0.05 * min(evidence, 3), 2))


def _label(name: str, confidence: float) -> Label:
    difficulty, output = KINDS[name]
    return Label(name=name, confidence=confidence, difficulty=difficulty, output=output)

"""What kind of work a request is: a label, how sure we are, how hard such work is.

A label names a request and sets the prior; the scorer and the prices decide (`quality.py`).
"""

import re
from functools import lru_cache

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
# What asks for thought by itself, and what does so in company or at length.
DEEP = re.compile(
    r"\b(?:anal[yi][sz]\w*|evaluat\w*|assess\w*|trade-?\s?offs?|implications?|critiqu\w*|"
    r"critically|in[- ](?:depth|detail)|deep dive|comprehensive\w*|thorough\w*|rigorous\w*|"
    r"nuanced|prove|proof|derive|derivation|discuss(?:es|ing)?|debate|synthesi[sz]e|root causes?|"
    r"consequences|ramifications?|pros and cons|costs and benefits|weigh|examin(?:e|es|ing)|"
    r"investigat\w*|reason (?:through|about)|think through|second-order|feasibility|interplay|"
    r"bewert\w*|auswirk\w*|évalu\w*|implicaci\w*|ventajas)\b",
)
HINTS = re.compile(
    r"\b(?:compar(?:e|ing|ison)|compar[ae]\w*|vergleich\w*|contrast|critical|strateg\w*|architect\w*|"
    r"detailed|argue|explor\w+|elaborate|scalab\w*|bottlenecks?|advantages|disadvantages|drawbacks|"
    r"long-term|feasible|risks?|impacts?|influences?|affects?|effects|effect o[fn]|"
    r"design (?:a|an|the)|relationship between|challenges|considerations?|recommend\w*|"
    r"forecast\w*|study|studies|studying|"
    r"how (?:will|would|should|could)|"
    r"what should|(?:explain|describe|understand) (?:why|how)|and why|dig into|break down|"
    r"walk (?:me|us) through|performance|latency|throughput|overheads?|microservices?|monoliths?|"
    r"distributed|migrat\w+|reliability|consistency)\b",
)
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
    shapes, code = len(SHAPES.findall(text)), len(CODE.findall(lower))
    asked, hints = len(DEEP.findall(lower)), len(HINTS.findall(lower))
    deep, make = asked + hints, bool(MAKE.search(lower))
    words = len(WORDS.findall(text))
    coding = shapes * 1.5 + code + (0.5 if make and code else 0)
    if coding >= 1 and (coding >= 1.5 * deep or (make and not deep)):
        return "code", _sure(0.80, coding)
    if deep > 1 or (deep and words >= (5 if asked else 8)):
        return "analysis", _sure(0.85, deep)
    if chars <= SIMPLE_CHARS and not asked and not make and (ASKS.search(lower) or "?" in text):
        return "simple", 0.90
    if 0 < chars <= SIMPLE_CHARS // 2 and not make:
        return "chat", 0.70
    return "general", 0.60


def _sure(base: float, evidence: float) -> float:
    return min(0.99, round(base + 0.05 * min(evidence, 3), 2))


def _label(name: str, confidence: float) -> Label:
    difficulty, output = KINDS[name]
    return Label(name=name, confidence=confidence, difficulty=difficulty, output=output)

"""Which words and phrases of a text speak for code, for thought, or for making something, in the
languages our users write most.

Words are matched whole, each by itself: what a word says is remembered, so that a text costs a
look in a table per word.
"""

import re
from collections.abc import Iterable
from itertools import chain, groupby

from msgspec import Struct

from services.router.lookup import Lookup

WORD = re.compile(r"\b\w{2,32}\b")
CODE = re.compile(
    r"python|javascript|typescript|java|kotlin|rust|golang|swift|php|perl|haskell|scala|"
    r"ruby|sql|bash|shell|powershell|html|css|react|vue|django|flask|fastapi|numpy|"
    r"pandas|regex|regexp|dockerfile|terraform|ya?ml|json|csv|graphql|webhook|"
    r"cod(?:e|es|ing|igo|ificar)|program(?:m|a|me|ming)?\w*|scripts?|skript\w*|snippet\w*|"
    r"functions?|funktion\w*|fonction\w*|funci[oó]n\w*|métod\w*|methods?|class(?:es)?|klasse\w*|"
    r"algorithm\w*|fibonacci|quicksort|palindrom\w*|implement\w*|refactor\w*|debug\w*|compil\w*|"
    r"pytest|stacktrace|traceback|exceptions?|segfault|nullpointer|"
    r"bug(?:s|fix)?|recursi\w*|hashmap|arrays?|"
    r"strings?|lint\w*|pars(?:e|er|ing)|async|iterator"
)
MAKE = re.compile(
    r"writ\w+|implement\w*|creat\w*|build|add|fix|refactor\w*|debug|optimi[sz]e|port|"
    r"generate|develop\w*|draft|compose|schreib\w*|erstell\w*|écri\w+|escrib\w+"
)
# What asks for thought by itself, and what does so in company or at length.
DEEP = re.compile(
    r"anal[yi][sz]\w*|evaluat\w*|assess\w*|tradeoffs?|implications?|critiqu\w*|"
    r"critically|comprehensive\w*|thorough\w*|rigorous\w*|"
    r"nuanced|prove|proof|derive|derivation|discuss(?:es|ing)?|debate|synthesi[sz]e|"
    r"consequences|ramifications?|weigh|examin(?:e|es|ing)|"
    r"investigat\w*|feasibility|interplay|"
    r"bewert\w*|auswirk\w*|évalu\w*|implicaci\w*|ventajas"
)
HINT = re.compile(
    r"compar(?:e|ing|ison)|compar[ae]\w*|vergleich\w*|contrast|critical|strateg\w*|architect\w*|"
    r"detailed|argue|explor\w+|elaborate|scalab\w*|bottlenecks?|advantages|disadvantages|drawbacks|"
    r"feasible|risks?|impacts?|influences?|affects?|effects|"
    r"challenges|considerations?|recommend\w*|forecast\w*|study|studies|studying|"
    r"performance|latency|throughput|overheads?|microservices?|monoliths?|"
    r"distributed|migrat\w+|reliability|consistency"
)
PHRASES = {
    "code": (
        r"c\+\+", r"c#", r"unit[- ]tests?", r"stack trace", r"null pointer", r"api endpoints?",
        r"rest endpoints?", r"linked list", r"binary search", r"hash map", r"one-liner",
        r"git (?:commit|rebase|merge)", r"in (?:go|c|r|lua|elixir|julia|dart|zig)",
    ),
    "deep": (
        r"trade(?:- ?|\s)offs?", r"in[- ](?:depth|detail)", r"deep dive", r"root causes?",
        r"pros and cons", r"costs and benefits", r"reason (?:through|about)", r"think through",
        r"second-order",
    ),
    "hint": (
        r"long-term", r"effect o[fn]", r"design (?:a|an|the)", r"relationship between",
        r"how (?:will|would|should|could)", r"what should", r"explain (?:why|how)",
        r"describe (?:why|how)", r"understand (?:why|how)", r"and why", r"dig into",
        r"break down", r"walk (?:me|us) through",
    ),
}  # fmt: skip


def _by_first_letter(phrases: Iterable[str]) -> str:
    """One pattern for all: a word is held against the phrases of its letter only, which takes
    half the time (measured)."""
    ordered = groupby(sorted(phrases), key=lambda phrase: phrase[0])
    rests = ((first, "|".join(phrase[1:] for phrase in group)) for first, group in ordered)
    return "|".join(f"{first}(?:{rest})" for first, rest in rests)


ANY_PHRASE = re.compile(rf"\b(?:{_by_first_letter(chain(*PHRASES.values()))})(?!\w)")
KINDS = {"c": CODE, "d": DEEP, "h": HINT, "m": MAKE}
PHRASE_KINDS = {kind: re.compile("|".join(phrases)) for kind, phrases in PHRASES.items()}


class Said(Struct, frozen=True, kw_only=True):
    """How many words and phrases of each kind a text has."""

    code: int
    deep: int
    hints: int
    make: int


def said(lower: str) -> Said:
    """Of a text in lower case: ignoring case costs five times as much (measured)."""
    kinds = "".join(map(_KINDS.__getitem__, lower.split()))
    phrases = list(map(_PHRASE_KIND.__getitem__, ANY_PHRASE.findall(lower)))
    return Said(
        code=kinds.count("c") + phrases.count("code"),
        deep=kinds.count("d") + phrases.count("deep"),
        hints=kinds.count("h") + phrases.count("hint"),
        make=kinds.count("m"),
    )


def _kinds(piece: str) -> str:
    """A letter for each kind that each word is of, of a piece without blanks."""
    return "".join(
        letter
        for word in WORD.findall(piece)
        for letter, pattern in KINDS.items()
        if pattern.fullmatch(word)
    )


def _phrase_kind(phrase: str) -> str:
    return next(kind for kind, pattern in PHRASE_KINDS.items() if pattern.fullmatch(phrase))


_KINDS, _PHRASE_KIND = Lookup(_kinds), Lookup(_phrase_kind)

"""Which words and phrases of a text speak for code, for thought, or for making something, in the
languages our users write most.

Words are matched whole, each by itself: what a word says is remembered, so that a text costs a
look in a table per word (a quarter of searching it, measured).
"""

import re
from functools import lru_cache

from msgspec import Struct

WORD, ASCII_WORD = re.compile(r"\b\w{2,32}\b"), re.compile(r"\b\w{2,32}\b", re.ASCII)
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
PHRASES = re.compile(
    r"\b(?:(?P<code>c\+\+|c#|unit[- ]tests?|stack trace|null pointer|(?:api|rest) endpoints?|"
    r"linked list|binary search|hash map|one-liner|git (?:commit|rebase|merge)|"
    r"in (?:go|c|r|lua|elixir|julia|dart|zig))|"
    r"(?P<deep>trade(?:- ?|\s)offs?|in[- ](?:depth|detail)|deep dive|root causes?|pros and cons|"
    r"costs and benefits|reason (?:through|about)|think through|second-order)|"
    r"(?P<hint>long-term|effect o[fn]|design (?:a|an|the)|relationship between|"
    r"how (?:will|would|should|could)|what should|(?:explain|describe|understand) (?:why|how)|"
    r"and why|dig into|break down|walk (?:me|us) through))(?!\w)"
)


class Said(Struct, frozen=True, kw_only=True):
    """How many words and phrases of each kind a text has."""

    code: int
    deep: int
    hints: int
    make: int


def said(lower: str) -> Said:
    """Of a text in lower case: ignoring case costs five times as much (measured)."""
    word = ASCII_WORD if lower.isascii() else WORD
    kinds = "".join(map(_kinds, word.findall(lower)))
    phrases = [match.lastgroup for match in PHRASES.finditer(lower)]
    return Said(
        code=kinds.count("c") + phrases.count("code"),
        deep=kinds.count("d") + phrases.count("deep"),
        hints=kinds.count("h") + phrases.count("hint"),
        make=kinds.count("m"),
    )


@lru_cache(1 << 14)
def _kinds(word: str) -> str:
    """A letter for each kind the word is of."""
    kinds = {"c": CODE, "d": DEEP, "h": HINT, "m": MAKE}
    return "".join(letter for letter, pattern in kinds.items() if pattern.fullmatch(word))

"""May two texts mean the same? What may differ between them, whatever an embedding says.

Embeddings are blind to what matters most in a question: a number, a name, a "not", the order of
two words. So the texts must agree word by word and in order, but for filler words, and but for
words that were replaced by others; only of those an embedding may say that they mean the same.
Pure; English fillers and the negations of the larger European languages.
"""

import re
from collections.abc import Iterator
from difflib import SequenceMatcher

from msgspec import Struct

# Code and quotations stand for themselves, whole; so does the indentation of a line.
VERBATIM = re.compile(
    r"```.*?```|`[^`\n]*`|\"[^\"]*\"|“[^”]*”|„[^“”]*[“”]|«[^»]*»|(?<!\w)['‘][^'’\n]+['’](?!\w)"
    r"|\n[ \t]+",
    re.DOTALL,
)
SENTENCE_END = re.compile(r"[.!?:]$")
# A word of Latin letters, with apostrophes or hyphens inside.
WORD = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ]+(?:['’-][A-Za-zÀ-ÖØ-öø-ɏ]+)*")
OPENING, CLOSING = "([{", ".,!?;:)]}"
SHORT = 4
PREFIXES = ("un", "in", "im", "il", "ir", "dis", "de", "non", "mis", "anti", "re", "non-", "anti-")

# How a question may be introduced.
LEAD = re.compile(
    r"^(?:(?:hi|hello|hey)\b[,! ]*)?(?:please[, ]+)?"
    r"(?:(?:can|could|would|will) you (?:please |kindly )?|i (?:want|need|would like) to know )?"
    r"(?:(?:tell|show|give) me )?",
    re.IGNORECASE,
)
# May come and go. No tense but the present, no modal verb, no preposition, no conjunction, no
# word that asks for who, when, where, why or how.
FILLER_WORDS = """
    a an the is are am be do does there what what's which please kindly thanks just really actually
    basically
"""
# Never replaced: what negates, counts, compares, orders, relates or opposes. Those of five letters
# and more in any of their forms; words of fewer than SHORT letters need no list.
POLAR_WORDS = """
    with from into onto upon about around between through during against toward than then they them
    their theirs this that these those here when where whom whose have been were would could should
    might must none never neither nothing nobody nowhere without cannot hardly barely except nicht
    kein ohne weder jamais sans aucun rien nunca senza niet geen nooit inte ikke zero three four
    five seven eight nine eleven twelve thirt fourt fifteen sixteen seventeen twenty forty fifty
    sixty seventy eighty ninety hundred thousand million billion half double triple twice once first
    second third last next previous before after since until above below over under down left right
    bottom inside outside north south east west front back begin start stop finish open close closed
    closing more less most least many much little maxim minim upper lower lowest high highe small
    large larger largest great short long tall fast slow quick early earlier late later young best
    worst better worse good cold warm cool light dark heavy full empty rich poor strong weak hard
    soft easy difficult increas decreas raise raising reduc grow shrink remov insert delet creat
    destroy drop attach detach includ exclud enabl disabl allow deny denied denies permit forbid
    forbad accept reject refus encrypt decrypt encod decod compress decompress serializ deserializ
    import export upload download input output read write writing written load save store push pull
    enqueue dequeue lock unlock login logout connect disconnect install uninstall show hide send
    receiv sell bought sold lend borrow debit credit profit loss lose lost gain pass fail succe
    success true false same different equal always sometimes often rarely only every some each both
    either positiv negativ ascend descend sync async public private intern extern local remote
    global static dynamic mutable immutable parent child ancestor descendant client server source
    target origin destination sender recipient request response question answer cause effect
    advantage disadvantage benefit drawback legal illegal safe danger secure male female woman women
    girl father mother daughter brother sister husband wife king queen past present future today
    tomorrow yesterday morning evening night week month year hour minute monday tuesday wednesday
    thursday friday saturday sunday january february march april june july august september october
    november december spring summer autumn fall winter plus minus multipl divid subtract even
    horizontal vertical column width height
"""
FILLERS = frozenset(FILLER_WORDS.split())
POLAR = frozenset(word + end for word in POLAR_WORDS.split() for end in ("", "s"))
POLAR_ROOTS = tuple(word for word in POLAR_WORDS.split() if len(word) > SHORT)


class Token(Struct, frozen=True):
    """`fixed`: may not be replaced."""

    text: str
    fixed: bool


def replaced(one: str, other: str) -> list[tuple[str, str]] | None:
    """The phrases of one text that stand where the other has different ones; None if the texts
    differ in what must not differ."""
    first, second = tokens(one), tokens(other)
    pairs: list[tuple[str, str]] = []
    shared = {each.text for each in first} & {each.text for each in second}
    for what, a, b, c, d in SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        if what == "equal":
            continue
        changed = first[a:b] + second[c:d]
        if what != "replace" or any(each.fixed or each.text in shared for each in changed):
            return None
        pairs.append((_phrase(first[a:b]), _phrase(second[c:d])))
    return None if any(_opposed(*pair) for pair in pairs) else pairs


def tokens(text: str) -> list[Token]:
    """What of a text counts, in order."""
    lead = LEAD.match(text)
    at = begin = lead.end() if lead else 0
    found: list[Token] = []
    for verbatim in VERBATIM.finditer(text, at):
        found += _words(text[at : verbatim.start()], at == begin)
        found.append(Token(verbatim.group(), True))
        at = verbatim.end()
    return found + list(_words(text[at:], at == begin))


def _words(text: str, begins: bool) -> Iterator[Token]:
    """`begins`: the first word may have its capital from beginning a sentence."""
    for chunk in text.split():
        bare = chunk.lstrip(OPENING).rstrip(CLOSING)
        token = _token(bare, begins) if bare else None
        begins = bool(SENTENCE_END.search(chunk))
        if token is not None:
            yield token


def _token(bare: str, begins: bool) -> Token | None:
    """None for a filler. Upper case says name, unless it only begins a sentence."""
    plain = bare.lower()
    if not WORD.fullmatch(bare):
        return Token(bare, True)
    if bare != plain and not (begins and bare == bare.capitalize()):
        return Token(bare, True)
    if plain in FILLERS:
        return None
    polar = plain in POLAR or plain.startswith(POLAR_ROOTS) or plain.endswith(("n't", "n’t"))
    return Token(plain, polar or len(plain) < SHORT)


def _phrase(changed: list[Token]) -> str:
    return " ".join(each.text for each in changed)


def _opposed(one: str, other: str) -> bool:
    """The same word with and without a prefix that turns its meaning round."""
    short, long = sorted((one, other), key=len)
    return any(long == prefix + short for prefix in PREFIXES)

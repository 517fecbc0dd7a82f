"""Phone numbers: with a country code anywhere; in the region's own form; in any country's form
where a word before it says that a phone number follows."""

import re
from bisect import bisect_left
from collections.abc import Iterator

from services.pii.rules import plans
from services.pii.rules.hit import Hit, Rule, Text
from services.pii.rules.words import words

INTERNATIONAL = re.compile(r"\+[1-9](?:[ ().\-/\u00a0]{0,2}[0-9]){6,14}(?![0-9])")
# The North American form, whose brackets or dashes hardly mean anything else.
DOMESTIC = re.compile(
    r"[(2-9](?:(?<=\()[2-9])?[0-9]{2}(?:\) ?|-)[2-9][0-9]{2}-[0-9]{4}(?![\w-]|\.[0-9])"
)
NATIONAL = re.compile(r"[(0-9](?:[ ().\-/\u00a0]{0,2}[0-9]){6,13}(?![\w]|[.,:-][0-9])")
# Every branch begins with a letter, so that the search skips quickly; short ones are checked to
# be words of their own.
NAME = re.compile(
    r"phone|tel[pf]?(?![a-z])|tele?f[oóa]{1,2}n|tél(?![a-z])|mob(?:ile?)?(?![a-z])|mobil(?:num|nr|tel)|cell(?:ular)?(?![a-z])|fax(?![a-z])"
    r"|call(?:ed|s|ing)?(?![a-z_(])|sms(?![a-z])|whatsapp|dial(?![a-z])|ring(?![a-z])|handy"
    r"|celular|m[oó]vil|portable|téléphone|rufnummer|msisdn|hotline|text me|reach me"
    r"|contact (?:number|no|nr)(?![a-z])|telem[oó]vel|gsm(?![a-z])|komórk|puh(?![a-z])"
    r"|电话|電話|携帯|手机|手機|전화|휴대폰|тел|моб|τηλ|هاتف|جوال|फ़ोन|फोन|मोबाइल|โทร|điện thoại"
)
DATE = re.compile(
    r"[0-9]{4}[-/.][01]?[0-9][-/.][0-3]?[0-9]|[0-3]?[0-9][-/.][01]?[0-9][-/.](?:19|20)[0-9]{2}"
    r"|(?:19|20)[0-9]{2} ?[-/] ?(?:19|20)[0-9]{2}(?![0-9 -])"
)
DRAWING = re.compile(r"viewBox[\"']?[=:]{1,2}\s?[\"']\Z")
NEAR, FAR = 48, 2000
FIELD_ENDS = ",;\t|\"'\r\n"
REGIONS = words(
    "US GB DE FR ES IT BR IN JP NL PL PT AU CA MX CH AT BE SE NO DK FI IE CN KR RU TR ZA AR"
)
NOT_DIGITS = re.compile("[^0-9]+")


def rule(region: str) -> Rule:
    """The rule for one home region."""

    def find(text: Text) -> Iterator[Hit]:
        yield from _international(text)
        if region in ("US", "CA"):
            yield from _domestic(text, region)
        yield from _named(text, region)

    return find


def _international(text: Text) -> Iterator[Hit]:
    for match in INTERNATIONAL.finditer(text.text):
        written = match[0]
        if not _alone(text.text, match.start()):
            continue
        # Digits in one go may be any number; groups, or a word before, say that they are a phone's.
        strict = written[1:].isdigit() and not NAME.search(text.before(match.start(), NEAR))
        if plans.is_international(_digits(written), strict=strict):
            yield Hit(match.start(), match.end(), "PHONE", 0.95, "a number with its country code")


def _domestic(text: Text, region: str) -> Iterator[Hit]:
    for match in text.numbers(DOMESTIC, digits=9):
        if _alone(text.text, match.start()) and plans.is_national(_digits(match[0]), region):
            yield Hit(match.start(), match.end(), "PHONE", 0.85, f"a number as {region} writes it")


def _named(text: Text, region: str) -> Iterator[Hit]:
    heads = Heads(text.lower)
    for match in text.numbers(NATIONAL, digits=6):
        written = match[0]
        before = text.text[max(0, match.start() - 12) : match.start()]
        if not _alone(text.text, match.start()) or _is_other(written) or DRAWING.search(before):
            continue
        if (_is_near(text, match) or _is_field(text.text, match, heads)) and _possible(
            written, region
        ):
            yield Hit(match.start(), match.end(), "PHONE", 0.8, "a number after a word for phone")


def _is_near(text: Text, match: "re.Match[str]") -> bool:
    """Close behind a word for phone, with no other number between."""
    start = max(0, match.start() - NEAR)
    names = _names(text.lower, start, match.start())
    between = text.text[names[-1] : match.start()] if names else ""
    return bool(names) and sum(char.isdigit() for char in between) <= 2


def _is_field(text: str, match: "re.Match[str]", heads: "Heads") -> bool:
    """One field of a table whose head has a word for phone. The text's ends end a field too."""
    written = match[0]
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    if written.isdigit() or "." in written or "/" in written:
        return False
    return before in FIELD_ENDS and after in FIELD_ENDS and heads.reach(match.start())


class Heads:
    """The words for phone in a text, found only if a field asks for them, and then once."""

    def __init__(self, lower: str) -> None:
        self._lower = lower
        self._ends: list[int] | None = None

    def reach(self, at: int) -> bool:
        if self._ends is None:
            self._ends = _names(self._lower, 0, len(self._lower))
        index = bisect_left(self._ends, at)
        return index > 0 and at - self._ends[index - 1] <= FAR


def _names(lower: str, start: int, end: int) -> list[int]:
    """Where words for phone end; short ones must be words of their own."""
    return [
        match.end()
        for match in NAME.finditer(lower, start, end)
        if len(match[0]) > 6 or not lower[match.start() - 1 : match.start()].isalpha()
    ]


def _is_other(written: str) -> bool:
    """A date, a version, or single numbers in a row."""
    if DATE.match(written) or sum(len(group) == 1 for group in NOT_DIGITS.split(written)) > 1:
        return True
    parts = written.split(".")
    return len(parts) > 2 and (len(parts) < 4 or min(map(len, parts)) < 2 or len(parts[0]) > 3)


def _alone(text: str, start: int) -> bool:
    before = text[max(0, start - 2) : start]
    last = before[-1:]
    return not (last.isalnum() or last in ("_", "+", ".", "-", "#", "$", "/", "\\")) or (
        last == "." and not before[:1].isdigit()
    )


def _possible(written: str, region: str) -> bool:
    """Whether any of the large numbering plans has such a number, the home region's first."""
    digits = _digits(written)
    if len(set(digits)) < 3 or plans.FICTION.search(digits):
        return False
    return any(plans.is_national(digits, each) for each in (region, *REGIONS))


def _digits(written: str) -> str:
    """The digits to dial; the zero of `+44 (0)20` is not one of them."""
    return NOT_DIGITS.sub("", written.replace("(0)", "") if written[0] == "+" else written)

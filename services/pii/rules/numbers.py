"""Numbers with a checksum or a fixed form: payment cards, bank accounts (IBAN), US SSNs."""

import re
from collections.abc import Iterator

from services.pii.rules.hit import Hit, Text
from services.pii.rules.words import words

CARD = re.compile(
    r"[2-6][0-9]{3}(?:[0-9]{8,15}|([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|([ -])[0-9]{6}\2[0-9]{4,5})"
    r"(?![0-9]|[.,][0-9])"
)
GROUP_BEFORE = re.compile(r"(?:^|\W)[0-9A-F]{4}\s\Z")
CODE_POINT = re.compile(r"\s(?=[0-9]{0,3}[A-F])[0-9A-F]{4}(?!\w)")
BRANDS = re.compile(
    r"4[0-9]{15}(?:[0-9]{3})?|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|35(?:2[89]|[3-8][0-9])[0-9]{12}"
    r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|62[0-9]{14,17}|(?:50|56|57|58|63|67)[0-9]{14}"
)
# The numbers that payment providers publish for tests.
TEST_CARDS = frozenset(
    words(
        """4111111111111111 4242424242424242 4012888888881881 4000056655665556 5555555555554444
        5105105105105100 2223003122003222 5200828282828210 378282246310005 371449635398431
        378734493671000 6011111111111117 6011000990139424 6011000000000004 30569309025904
        38520000023237 3056930009020004 36227206271667 3530111333300000 3566002020360505
        6200000000000005 4000000000000002 4000002500003155 4000000000009995 4000000000000077
        4000000000003220 5454545454545454 4917610000000000 4484070000000000 6759649826438453
        4222222222222220 4988438843884305 4166676667666746 2222400070000005 5577000055770004
        4444333322221111 4000000000000101 4000000000000069 4000000000000119 5200000000000007
        4005519200000004 4009348888881881 4012000033330026 4012000077777777 4500600000000061
        4000111111111115 5431111111111111 1111222233334444"""
    )
)
IBAN = re.compile(r"[A-Z][A-Z][0-9]{2}(?:[ -]?[A-Z0-9]){11,30}")
IBAN_LENGTHS = {
    pair[:2]: int(pair[2:])
    for pair in words(
        """AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27
        DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22
        IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19
        MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31
        SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"""
    )
}
TEST_IBANS = frozenset(
    {"GB82WEST12345698765432", "GB29NWBK60161331926819", "DE89370400440532013000"}
)
SSN = re.compile(r"[0-9][0-9]{2}([- .]?)[0-9]{2}\1[0-9]{4}(?![\w-]|\.[0-9])")
SSN_NAME = re.compile(
    r"ssn|social.{0,2}sec|\bsocial (?:is|number|no)\b|socsec|tax.?payer|taxpayer|steuer"
    r"|itin(?![a-z])"
)
TEST_SSNS = frozenset(
    {"123456789", "078051120", "219099999", "111111111", "111223333", "123121234", "457555462"}
)
NEAR, FAR = 60, 1200


def find(text: Text) -> Iterator[Hit]:
    yield from _ibans(text)
    yield from _cards(text)
    yield from _ssns(text)


def _cards(text: Text) -> Iterator[Hit]:
    for match in text.numbers(CARD, digits=12):
        digits = re.sub("[^0-9]", "", match[0])
        if (
            BRANDS.fullmatch(digits)
            and _luhn(digits)
            and digits not in TEST_CARDS
            and len(set(digits)) > 3
            and _alone(text.text, match.start())
            and not _in_table(text.text, match)
        ):
            yield Hit(match.start(), match.end(), "CREDIT_CARD", 1.0, "a card number (Luhn)")


def _alone(text: str, start: int) -> bool:
    """Not the end of a longer word or number."""
    before = text[max(0, start - 2) : start]
    return (
        not before[-1:].isalnum()
        and before[-1:] not in ("_", ".", "+")
        and not (before[-1:] in ("-", ",", "/") and before[:1].isdigit())
    )


def _in_table(text: str, match: "re.Match[str]") -> bool:
    """Four groups of many, as in a table of code points."""
    before, after = text[max(0, match.start() - 6) : match.start()], match.end()
    groups = (match[1] or match[2]) == " "
    return groups and bool(GROUP_BEFORE.search(before) or CODE_POINT.match(text, after))


def _luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def _ibans(whole: Text) -> Iterator[Hit]:
    text = whole.text
    for match in _in_iban_form(whole):
        length = IBAN_LENGTHS.get(match[0][:2])
        start = match.start()
        if not length or (start and (text[start - 1].isalnum() or text[start - 1] in "_+/")):
            continue
        end = _end_after(match[0], length)
        following = text[start + end : start + end + 1]
        if not end or following.isalnum() or following in ("_", "+", "/", "="):
            continue
        value = re.sub("[ -]", "", match[0][:end])
        if value not in TEST_IBANS and _mod97(value):
            yield Hit(start, start + end, "IBAN", 1.0, "an IBAN (checksum)")


def _in_iban_form(text: Text) -> "Iterator[re.Match[str]]":
    at = text.kinds.find(b"AA00")
    while at != -1:
        match = IBAN.match(text.text, at)
        if match:
            yield match
        at = text.kinds.find(b"AA00", match.end() if match else at + 1)


def _end_after(text: str, length: int) -> int:
    """Where the IBAN's last character stands, its blanks not counted; 0 if it is too short."""
    count = 0
    for at, char in enumerate(text):
        count += char not in " -"
        if count == length:
            return at + 1
    return 0


def _mod97(value: str) -> bool:
    turned = value[4:] + value[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def _ssns(text: Text) -> Iterator[Hit]:
    formed = [match for match in text.numbers(SSN, digits=9) if _is_ssn(text.text, match)]
    named = SSN_NAME.search(text.lower) if formed else None
    for match in formed:
        if named and named.start() < match.start() and _is_named(text, match):
            yield Hit(match.start(), match.end(), "SSN", 0.95, "an SSN after its name")


def _is_ssn(text: str, match: "re.Match[str]") -> bool:
    digits = re.sub("[^0-9]", "", match[0])
    return (
        digits[:3] not in ("000", "666")
        and digits[3:5] != "00"
        and digits[5:] != "0000"
        and digits not in TEST_SSNS
        and _alone(text, match.start())
    )


def _is_named(text: Text, match: "re.Match[str]") -> bool:
    """With dashes the name may stand further up, as in a table; without, it must be near."""
    reach = FAR if match[1] == "-" else NEAR
    return SSN_NAME.search(text.before(match.start(), reach)) is not None

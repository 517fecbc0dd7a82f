"""The shortcuts to where a rule may match find what the rules alone would."""

import re
from random import Random

import pytest

from services.pii.rules import addresses, numbers, phones
from services.pii.rules.hit import Text

CHARACTERS = "0123456789" * 4 + "-. ()/:+AB23af\u00a0x,\n"
TEXTS = [
    "".join(random.choice(CHARACTERS) for _ in range(300))
    for random in (Random(seed) for seed in range(400))
]
Pattern = re.Pattern[str]


@pytest.mark.parametrize(
    ("pattern", "digits", "dots"),
    [
        (numbers.CARD, 12, 0),
        (numbers.SSN, 9, 0),
        (phones.DOMESTIC, 9, 0),
        (phones.NATIONAL, 6, 0),
        (addresses.V4, 4, 3),
    ],
)
def test_numbers_are_matched_as_in_the_whole_text(pattern: Pattern, digits: int, dots: int) -> None:
    for text in TEXTS:
        alone = [match.span() for match in pattern.finditer(text)]
        assert [match.span() for match in Text(text).numbers(pattern, digits, dots)] == alone


@pytest.mark.parametrize("text", ["", "a" * 16, "é" + "b" * 20 + "é", "c" * 15, "-_" * 8 + "😀x"])
def test_runs_are_those_of_token_characters(text: str) -> None:
    runs = [match.span() for match in re.finditer("[A-Za-z0-9_-]{16,}", text)]
    assert list(Text(text).runs()) == runs


def test_a_number_in_brackets_after_its_name_is_found_short_as_it_is() -> None:
    text = "call me back on (201) 530-$8"
    assert [text[h.start : h.end] for h in phones.rule("US")(Text(text))] == ["(201) 530"]

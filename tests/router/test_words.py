"""Looking words up finds what searching the text for them would find."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.label import SHAPES, shapes_in
from services.router.lookup import MOST, Lookup
from services.router.scorer import Prompt, features
from services.router.words import KINDS, PHRASES, WORD, said

PHRASE = re.compile(
    "|".join(rf"(?P<{kind}>\b(?:{'|'.join(each)})(?!\w))" for kind, each in PHRASES.items())
)
VOCABULARY = """python fibonacci schreibe prove tradeoffs trade-offs write in go and why how will
c++ design the pros costs and benefits écris analyse, (class) def import return x; => foo(a): { }
``` . unit tests git commit in-depth 第二 ____ 3.14 a/b.py $5 File "a", line Traceback (most"""
PIECES = st.sampled_from(VOCABULARY.split())
TEXTS = st.lists(
    st.tuples(PIECES, st.sampled_from((" ", "\n", "", "-", "\t", ", "))), max_size=30
).map(lambda parts: "".join(word + gap for word, gap in parts))


@given(TEXTS | st.text(max_size=80))
def test_a_text_says_what_a_search_for_every_word_and_phrase_finds(text: str) -> None:
    lower = text.lower()
    words = [kind for kind, each in KINDS.items() for w in WORD.findall(lower) if each.fullmatch(w)]
    phrases = [match.lastgroup for match in PHRASE.finditer(lower)]
    found = said(lower)
    assert found.code == words.count("c") + phrases.count("code")
    assert found.deep == words.count("d") + phrases.count("deep")
    assert found.hints == words.count("h") + phrases.count("hint")
    assert found.make == words.count("m")


@given(TEXTS | st.text(max_size=80))
def test_no_shape_of_code_is_missed_by_looking_for_its_signs_first(text: str) -> None:
    assert shapes_in(text) == len(SHAPES.findall(text))


@given(TEXTS | st.text(max_size=80))
def test_what_was_seen_before_changes_no_feature(text: str) -> None:
    first, again = features(Prompt(prompt=text)), features(Prompt(prompt=text))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [
        ("the c++ one", "code"),
        ("unit-test", "code"),
        ("rest endpoints", "code"),
        ("in zig", "code"),
        ("trade- offs", "deep"),
        ("in detail", "deep"),
        ("second-order", "deep"),
        ("effect on", "hint"),
        ("walk us through", "hint"),
        ("and why?", "hint"),
    ],
)
def test_a_phrase_is_of_its_kind(phrase: str, kind: str) -> None:
    found = said(phrase)
    assert (found.code, found.deep, found.hints) == tuple(kind == k for k in PHRASES)


def test_a_word_is_read_once_and_long_ones_are_not_kept() -> None:
    read: list[str] = []
    lookup = Lookup(lambda word: read.append(word) or len(word))
    assert [lookup["word"], lookup["word"], lookup["w" * 99], lookup["w" * 99]] == [4, 4, 99, 99]
    assert read == ["word", "w" * 99, "w" * 99]


def test_a_full_table_forgets_and_goes_on() -> None:
    lookup = Lookup(str.upper)
    assert all(lookup[f"word{n}"] == f"WORD{n}" for n in range(MOST + 10))
    assert len(lookup) == 10

"""What must agree in two texts before a model is asked whether they mean the same."""

import pytest

from services.gateway.answers.sameness import replaced


@pytest.mark.parametrize(
    "one, other",
    [
        ("What is the capital of France?", "Please tell me the capital of France."),
        ("Can you explain Python decorators?", "explain  Python decorators"),
        ("I want to know how tides work", "How do tides work"),
        ("which planet is the largest", "What planet is the largest?"),
    ],
)
def test_fillers_and_punctuation_may_differ(one: str, other: str) -> None:
    assert replaced(one, other) == []


@pytest.mark.parametrize(
    "one, other, pairs",
    [
        ("Explain the tides", "Describe the tides", [("explain", "describe")]),
        ("how to mend a bicycle", "how to repair a bicycle", [("mend", "repair")]),
        (
            "compose poems about rivers",
            "author poems about streams",
            [("compose", "author"), ("rivers", "streams")],
        ),
    ],
)
def test_what_was_replaced_is_told(one: str, other: str, pairs: list[tuple[str, str]]) -> None:
    assert replaced(one, other) == pairs


@pytest.mark.parametrize(
    "one, other",
    [
        ("Is 7919 prime?", "Is 7917 prime?"),
        ("What is 3 + 5?", "What is 3 - 5?"),
        ("Add 1.5 to it", "Add 15 to it"),
        ("five reasons to exercise", "nine reasons to exercise"),
        ("How far is Rome?", "How far is Oslo?"),
        ("May I bring Polish bread?", "May I bring polish bread?"),
        ("Translate 'good night'", "Translate 'good morning'"),
        ("Translate “yes” to Greek", "Translate “no” to Greek"),
        ("Fix `a.b`", "Fix `a.c`"),
        ("What does ```a\n b``` print?", "What does ```a\nb``` print?"),
        ("rename user_id", "rename userId"),
        ("edit src/main.py", "edit src/name.py"),
        ("use --force", "use --forge"),
        ("write to PII_EMAIL_0123456789", "write to PII_EMAIL_0123456780"),
        ("Ist das erlaubt?", "Ist das nicht erlaubt?"),
        ("Is this allowed?", "Isn't this allowed?"),
        ("foods with sugar", "foods without sugar"),
        ("Should I take aspirin?", "Can I take aspirin?"),
        ("Who is the president?", "Who was the president?"),
        ("when did they arrive", "where did they arrive"),
        ("how to encrypt a disk", "how to decrypt a disk"),
        ("is it legal here", "is it illegal here"),
        ("is it usual here", "is it unusual here"),
        ("sort ascending", "sort descending"),
        ("the maximum depth", "the minimum depth"),
        ("events on monday", "events on tuesday"),
        ("flights from here to there", "flights to here from there"),
        ("does wood float on water", "does water float on wood"),
        ("convert celsius into kelvin", "convert kelvin into celsius"),
        ("sort a list", "sort a nested list"),
        ("北京的天气", "上海的天气"),
        ("if x:\n    a()\nb()", "if x:\n    a()\n    b()"),
        ("", "Explain tides"),
    ],
)
def test_what_changes_the_meaning_may_not_differ(one: str, other: str) -> None:
    assert replaced(one, other) is None and replaced(other, one) is None


def test_a_text_is_the_same_as_itself() -> None:
    assert replaced("Is `x` 5, or 'six'?\n  - no", "Is `x` 5, or 'six'?\n  - no") == []

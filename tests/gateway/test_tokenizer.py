"""Counting without a provider."""

import msgspec
import pytest

from services.gateway.body import Body
from services.gateway.counting import MARGIN, count_body
from services.gateway.tokenizer import PIECE, tokens

# What OpenAI's tokenizer page and tiktoken with `o200k_base` say.
KNOWN = {
    "": 0,
    "hello world": 2,
    "antidisestablishmentarianism": 6,
    "お誕生日おめでとう": 8,
    "2 + 2 = 4": 7,
    "def f(x):\n    return x + 1\n": 11,
    "I'll go; they've gone.": 6,
    "👩‍👩‍👧‍👦": 11,
}


@pytest.mark.parametrize("text", KNOWN)
def test_a_text_has_the_tokens_that_its_vocabulary_gives_it(text: str) -> None:
    assert tokens(text) == KNOWN[text]


@pytest.mark.parametrize("text", [" ", "a", "\n", "!", "aA"])
def test_a_million_of_anything_is_counted(text: str) -> None:
    assert 0 < tokens(text * 1_000_000) <= len(text) * 1_000_000


def test_cutting_a_long_text_costs_a_token_a_cut_at_most() -> None:
    words = PIECE
    assert words <= tokens(" words" * words) <= words + 6


def test_a_body_is_counted_with_its_margin() -> None:
    words = "the quick brown fox " * 500
    raw = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": words}]}
    count = count_body(Body(msgspec.json.encode(raw), needs_max_tokens=False))
    assert 1 + MARGIN <= count / tokens(words) <= 1 + MARGIN + 0.01

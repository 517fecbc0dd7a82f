import pytest

from libs.common.money import usd_short


@pytest.mark.parametrize(
    ("micro", "text"),
    [
        (0, "$0"),
        (8, "$0.000008"),
        (30, "$0.00003"),
        (564, "$0.00056"),
        (995, "$0.001"),
        (1_912, "$0.0019"),
        (9_949, "$0.0099"),
        (9_950, "$0.01"),
        (10_000, "$0.01"),
        (94_999, "$0.09"),
        (1_200_000, "$1.20"),
        (999_995_000, "$1000.00"),
        (-300, "-$0.0003"),
        (-85_000, "-$0.09"),
    ],
)
def test_an_amount_for_people_has_cents_or_two_digits_that_matter(micro: int, text: str) -> None:
    assert usd_short(micro) == text

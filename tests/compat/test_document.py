"""The page says what the tests show."""

from tests.compat.cases import CASES
from tests.compat.document import PAGE, page, shown_by


def test_every_row_has_a_test() -> None:
    assert not [number for number, names in shown_by().items() if not names]
    assert list(CASES) == list(range(1, 55))


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.compat.document"

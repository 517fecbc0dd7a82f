"""`make compat-prove`: the table must fail against the naive relay, row by row."""

import os
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.compat.cases import CANNOT_FAIL, CASES
from tests.compat.document import MODULES

FOLDER = Path(__file__).parent


class Outcomes:
    """Whether a test of a row failed."""

    def __init__(self) -> None:
        self.failed: dict[int, bool] = defaultdict(bool)
        self._rows: dict[str, tuple[int, ...]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Function]) -> None:
        for item in items:
            self._rows[item.nodeid] = getattr(item.function, "cases", ())

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for number in self._rows.get(report.nodeid, ()):
            self.failed[number] |= report.failed and report.when == "call"


def main() -> int:
    os.environ["MODELMUXER_COMPAT"] = "naive"
    outcomes = Outcomes()
    files = [str(FOLDER / f"test_{module}.py") for module in MODULES]
    pytest.main(["-q", "--tb=no", "--no-summary", *files], plugins=[outcomes])
    wrong = []
    for number, (fault, _) in CASES.items():
        failed, reason = outcomes.failed[number], CANNOT_FAIL.get(number, "")
        word = "fails" if failed else f"passes: {reason or 'NO REASON GIVEN'}"
        sys.stdout.write(f"{number:>3} {word:<8} {fault}\n")
        if failed == bool(reason):
            wrong.append(number)
    sys.stdout.write(f"naive relay: {sum(outcomes.failed.values())} of {len(CASES)} rows fail\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

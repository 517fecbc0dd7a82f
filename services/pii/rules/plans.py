"""Numbering plans of the world, from the metadata inside phonenumbers.

The library's own parser takes some 100 µs a number; its patterns take one.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata

KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "pager", "uan", "voicemail"),
)
# 555-0100 to 555-0199 are kept for fiction, 555-1212 is everyone's directory enquiries.
FICTION = re.compile(r"(?:55501[0-9]{2}|5551212)\Z")
LONGEST_CODE = 3


class Plan(NamedTuple):
    """`prefix` is what is dialled before a number inside the country; `numbers` are those that
    are given out, `possible` all that have the form."""

    prefix: str
    numbers: "re.Pattern[str]"
    possible: "re.Pattern[str]"


def is_international(digits: str, *, strict: bool = True) -> bool:
    """Country code and number, without the plus sign."""
    for length in range(1, LONGEST_CODE + 1):
        regions = COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length]))
        if regions:
            return any(_has(plan(each), digits[length:], strict) for each in regions)
    return False


def is_national(digits: str, region: str) -> bool:
    """As it is dialled inside the country."""
    found = plan(region)
    return found is not None and _has(found, digits.removeprefix(found.prefix), True)


def _has(found: Plan | None, digits: str, strict: bool) -> bool:
    if found is None or FICTION.search(digits):
        return False
    return (found.numbers if strict else found.possible).fullmatch(digits) is not None


@lru_cache(maxsize=512)
def plan(region: str) -> Plan | None:
    data = PhoneMetadata.metadata_for_region(region)
    if data is None:
        return None
    kinds = [getattr(data, kind) for kind in KINDS]
    patterns = [kind.national_number_pattern for kind in kinds if kind]
    numbers = "|".join(f"(?:{pattern})" for pattern in patterns if pattern)
    possible = data.general_desc and data.general_desc.national_number_pattern
    if not numbers or not possible:
        return None
    return Plan(data.national_prefix or "", re.compile(numbers), re.compile(possible))

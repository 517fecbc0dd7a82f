"""Events as rows: nothing of a contract is lost, nothing is silently changed."""

import msgspec
import pytest

from libs.common.contracts.identity import Principal
from libs.common.contracts.routing import Decision, Features, Plan
from libs.common.contracts.usage import Tokens, Usage
from services.analytics.migrations import SCHEMA
from services.analytics.rows import decision_columns, sort_out, usage_columns
from tests.analytics.conftest import ALICE, usage


def columns(table: str) -> set[str]:
    text = next(SCHEMA.glob(f"*_{table}.sql")).read_text()
    return {line.split("`")[1] for line in text.splitlines() if line.strip().startswith("`")}


def test_every_field_of_the_contract_has_a_column() -> None:
    parts = [set(kind.__struct_fields__) for kind in (Usage, Principal, Tokens)]
    fields = set.union(*parts) - {"principal", "tokens"} | {"id"}
    assert sum(map(len, parts)) == len(fields) + 1, "two parts share a name"
    assert columns("usage") == fields == set(usage_columns([usage()]))


def test_a_decision_keeps_no_words_of_the_user() -> None:
    features = Features(model="claude-opus-5", user_text="my secret")
    plan = Plan(decision_id="d", candidates=(), reason="simple")
    made = Decision(
        decision_id="d", request_id="r", at=1.0, principal=ALICE, features=features, plan=plan
    )
    row = decision_columns([made])
    assert "my secret" not in str(row)
    assert set(row) == columns("decisions")


@pytest.mark.parametrize(
    "fields",
    [{"at": 1e30}, {"at": -1.0}, {"at": float("nan")}, {"cost": 2**63}, {"reserved": -(2**63)}],
)
def test_a_number_that_its_column_would_change_is_sorted_out(fields: dict[str, float]) -> None:
    bad = msgspec.structs.replace(usage(3), **fields)
    good, others = sort_out([usage(1), usage(2), bad, usage(4)], usage_columns)
    assert len(good) == 3
    assert [(event, why.partition(":")[0]) for event, why in others] == [(bad, next(iter(fields)))]

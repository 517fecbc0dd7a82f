"""A report as JSON, CSV or JSON Lines."""

import csv
import io
from typing import Any

import msgspec

from libs.common.contracts.base import MAX_PAYLOAD
from libs.common.contracts.reports import Answer
from libs.common.errors import InvalidRequest

TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl; charset=utf-8",
}
# A spreadsheet takes a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render(found: dict[str, Any], format: str) -> Answer:
    """CSV and JSON Lines hold the report's list (`rows` or `groups`); as text, they travel as
    one JSON string."""
    if format == "json":
        body = msgspec.json.encode(found)
    else:
        rows = [flat(row) for row in found.get("rows", found.get("groups", []))]
        text = as_csv(rows) if format == "csv" else _as_lines(rows)
        body = msgspec.json.encode(text)
    if len(body) > MAX_PAYLOAD - 1024:
        raise InvalidRequest("limit: the answer is over 8 MB; ask for fewer rows or days")
    return Answer(body=msgspec.Raw(body), content_type=TYPES[format])


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """`{"tokens": {"input": 1}}` becomes `{"tokens_input": 1}`."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            found |= {f"{name}_{inner}": part for inner, part in flat(value).items()}
        else:
            found[name] = value
    return found


def as_csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.writer(out, lineterminator="\r\n")
    table.writerow(names)
    table.writerows([[_cell(row.get(name)) for name in names] for row in rows])
    return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA) and not _is_number(value):
        return "'" + value
    return value


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()


def _as_lines(rows: list[dict[str, Any]]) -> str:
    return msgspec.json.Encoder().encode_lines(rows).decode()

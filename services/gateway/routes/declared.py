"""What /openapi.json says of the analytics API. The values are checked where they are used."""

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string", "maxLength": 200}
GROUPS = "model|asked|provider|key|user|team|run|agent|reason|day"
QUERY: dict[str, Schema] = {
    "days": {"type": "integer", "minimum": 1, "maximum": 400, "default": 7},
    "tz": {"type": "string", "description": "an IANA time zone", "default": "UTC"},
    "format": {"type": "string", "enum": ["json", "csv", "jsonl"], "default": "json"},
    "group_by": {"type": "string", "pattern": f"^({GROUPS})(,({GROUPS})){{0,2}}$"},
    "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100},
    "cursor": {"type": "string", "description": "the `next` of the page before"},
    "status": {"type": "integer", "minimum": 100, "maximum": 599},
    "verify": {"type": "string", "enum": ["true", "false"], "default": "false"},
    "table": {
        "type": "string",
        "enum": ["usage", "decisions", "feedback", "exchanges"],
        "default": "usage",
    },
}
FAULT: Schema = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "request_id": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
    },
}
_FAULTY = {"description": "refused", "content": {"application/json": {"schema": FAULT}}}
FAULTS: dict[int | str, Schema] = {"4XX": _FAULTY, "5XX": _FAULTY}
TABULAR: dict[int | str, Schema] = {
    200: {
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/jsonl": {"schema": {"type": "string"}},
        }
    },
    **FAULTS,
}
BUDGET: Schema = {
    "type": "object",
    "required": ["budget_type", "budget_limit"],
    "additionalProperties": False,
    "properties": {
        "budget_type": {"enum": ["hourly", "daily", "weekly", "monthly", "total"]},
        "budget_limit": {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[0-9]{1,9}(\.[0-9]{1,6})?$"},
            ],
            "description": "US dollars",
        },
        "alert_thresholds": {
            "type": "array",
            "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 100},
            "maxItems": 10,
            "uniqueItems": True,
            "description": "percentages, rising",
        },
        "scope": {"enum": ["org", "team", "user", "key", "run"], "default": "key"},
        "scope_id": TEXT,
        "mode": {"enum": ["block", "downgrade", "advise"], "default": "block"},
        "clamp": {"type": "boolean", "default": True},
    },
}


def query(*names: str) -> Schema:
    """Query parameters of an operation."""
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": QUERY.get(name, TEXT)}
            for name in names
        ]
    }


def json_body(schema: Schema) -> Schema:
    """The JSON body of an operation."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}

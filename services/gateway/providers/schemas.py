"""JSON schemas as each provider takes them."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.common.errors import InvalidRequest
from services.gateway.providers.base import Json

_JOINS = ("oneOf", "anyOf", "allOf")
_KINDS: dict[str, Any] = {
    "$ref": str,
    "type": str | list,
    "format": str,
    "description": str,
    "enum": list,
    "required": list,
    "properties": dict,
    "$defs": dict,
    "definitions": dict,
    "oneOf": list,
    "anyOf": list,
    "allOf": list,
    "prefixItems": list,
    "items": dict | bool | list,
}
_LISTS = frozenset((*_JOINS, "prefixItems"))
_DEEPEST = 24


def check(schema: Any, where: str) -> None:
    """Raises InvalidRequest, naming the place, for what is no JSON schema at all."""
    if not _sound(schema, 0):
        _complain(schema, where, 0)


def _sound(schema: Any, depth: int) -> bool:
    """The same judgement without a place: quick, since nearly every schema is sound."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    for name, value in schema.items():
        kind = _KINDS.get(name)
        if kind is None:
            continue
        if not isinstance(value, kind):
            return False
        if kind is str or depth > _DEEPEST:
            continue
        inner = value.values() if kind is dict else value if name in _LISTS else ()
        if not all(_sound(each, depth + 1) for each in inner):
            return False
    return _names_only(schema) and _sound_items(schema, depth)


def _names_only(schema: Json) -> bool:
    return all(isinstance(name, str) for name in schema.get("required") or ())


def _sound_items(schema: Json, depth: int) -> bool:
    items = schema.get("items")
    return not isinstance(items, dict) or depth > _DEEPEST or _sound(items, depth + 1)


def _complain(schema: Any, where: str, depth: int) -> None:
    if depth > _DEEPEST or isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise InvalidRequest(f"{where}: Input should be a JSON schema")
    for name, kind in _KINDS.items():
        if name in schema and not isinstance(schema[name], kind):
            raise InvalidRequest(f"{where}.{name}: this is no JSON schema")
    if not _names_only(schema):
        raise InvalidRequest(f"{where}.required: Input should be a list of names")
    for place, each in _within(schema):
        _complain(each, f"{where}.{place}", depth + 1)


def _within(schema: Json) -> Iterator[tuple[str, Any]]:
    """The schemas inside a schema, each with its place."""
    for group in ("properties", "$defs", "definitions"):
        for name, each in schema.get(group, {}).items():
            yield f"{group}.{name}", each
    for join in (*_JOINS, "prefixItems"):
        for at, each in enumerate(schema.get(join, ())):
            yield f"{join}.{at}", each
    if isinstance(schema.get("items"), dict):
        yield "items", schema["items"]


def for_openai(schema: Json) -> Json:
    """An object with `properties`, without unions at the top: OpenAI refuses both otherwise."""
    if any(name in schema for name in _JOINS):
        schema = _joined(schema)
    clean = {name: value for name, value in schema.items() if name != "$schema"}
    clean["type"] = "object"
    clean.setdefault("properties", {})
    return clean


def _joined(schema: Json) -> Json:
    """The branches of a top-level union as one object: all their properties; what every branch
    requires of a choice, what any requires of a conjunction."""
    properties = dict(schema.get("properties") or {})
    required = set(schema.get("required") or ())
    for join in _JOINS:
        branches = [each for each in schema.get(join) or [] if isinstance(each, dict)]
        for branch in branches:
            for name, value in (branch.get("properties") or {}).items():
                properties.setdefault(name, value)
        needs = [set(branch.get("required") or ()) for branch in branches]
        if needs:
            required |= set.union(*needs) if join == "allOf" else set.intersection(*needs)
    rest = {name: value for name, value in schema.items() if name not in _JOINS}
    return {**rest, "properties": properties, "required": sorted(required & properties.keys())}


def is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes it: every object closed, every property required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        names = set(properties or ())
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required") or ()) != names:
            return False
    nested = [*(properties or {}).values(), *(schema.get("$defs") or {}).values()]
    return all(map(is_strict, nested)) and all(
        is_strict(schema[name]) for name in ("items", *_JOINS) if name in schema
    )


# What Gemini's `parameters` knows (ai.google.dev/api/caching#Schema); anything else is a 400.
_GEMINI = frozenset(
    (
        "title",
        "description",
        "nullable",
        "minItems",
        "maxItems",
        "required",
        "minProperties",
        "maxProperties",
        "minLength",
        "maxLength",
        "pattern",
        "minimum",
        "maximum",
        "default",
    )
)
_FORMATS = {
    "string": frozenset(("date-time", "enum")),
    "integer": frozenset(("int32", "int64")),
    "number": frozenset(("float", "double")),
}


def for_gemini(schema: Json) -> Json:
    """The same constraints in OpenAPI's words: references resolved, unions as `anyOf`, constants
    as `enum`, the rest told in the description."""
    return _gemini(schema, _definitions(schema), 0)


def _definitions(schema: Json) -> dict[str, Json]:
    found: dict[str, Json] = {"#": schema}
    for place in ("$defs", "definitions"):
        for name, value in (schema.get(place) or {}).items():
            found[f"#/{place}/{name}"] = value
    return found


def _gemini(schema: Any, definitions: Mapping[str, Json], depth: int) -> Json:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return {"type": "string"} if depth > _DEEPEST else {}
    if "$ref" in schema:
        target = definitions.get(schema["$ref"])
        target = target if isinstance(target, dict) else {}
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return _gemini({**target, **rest}, definitions, depth + 1)
    if schema.get("allOf"):
        return _gemini(_conjunction(schema, definitions), definitions, depth + 1)
    clean = {name: schema[name] for name in _GEMINI if name in schema}
    _type(schema, clean)
    _values(schema, clean)
    _nested(schema, clean, definitions, depth)
    if clean.get("required"):
        clean["required"] = [
            name for name in clean["required"] if name in (clean.get("properties") or {})
        ]
    if not clean.get("required"):
        clean.pop("required", None)
    return clean


def _conjunction(schema: Json, definitions: Mapping[str, Json]) -> Json:
    whole = {name: value for name, value in schema.items() if name != "allOf"}
    for branch in schema["allOf"]:
        if isinstance(branch, dict):
            branch = definitions.get(branch.get("$ref", ""), branch)
            properties = {**(branch.get("properties") or {}), **(whole.get("properties") or {})}
            required = [*(whole.get("required") or ()), *(branch.get("required") or ())]
            whole = {**branch, **whole}
            if properties:
                whole |= {"properties": properties, "required": list(dict.fromkeys(required))}
    return whole


def _type(schema: Json, clean: Json) -> None:
    """One type; several become `anyOf`, "null" becomes `nullable`."""
    kind = schema.get("type") or ("object" if "properties" in schema else None)
    kinds = kind if isinstance(kind, list) else [kind] if kind else []
    if "null" in kinds:
        clean["nullable"] = True
        kinds = [each for each in kinds if each != "null"] or ["string"]
    if len(kinds) == 1:
        clean["type"] = kinds[0]
    elif kinds:
        clean["anyOf"] = [{"type": each} for each in kinds]
    wanted = schema.get("format")
    if wanted in _FORMATS.get(str(clean.get("type")), ()):
        clean["format"] = wanted
    elif wanted:
        _tell(clean, f"format: {wanted}")


def _values(schema: Json, clean: Json) -> None:
    """`const` and `enum`: Gemini takes lists of strings only, others go into words."""
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if not values:
        return
    if all(isinstance(value, str) for value in values):
        clean["enum"] = values
        clean.setdefault("type", "string")
    else:
        _tell(clean, "one of: " + ", ".join(map(str, values)))


def _nested(schema: Json, clean: Json, definitions: Mapping[str, Json], depth: int) -> None:
    deeper = depth + 1
    if schema.get("properties"):
        clean["properties"] = {
            name: _gemini(value, definitions, deeper)
            for name, value in schema["properties"].items()
        }
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        kinds = [each for each in branches if not _is_null(each)]
        if len(kinds) < len(branches):
            clean["nullable"] = True
        clean["anyOf"] = [_gemini(each, definitions, deeper) for each in kinds]
    if clean.get("type") == "array":
        items = schema.get("items")
        first = (schema.get("prefixItems") or [{"type": "string"}])[0]
        clean["items"] = _gemini(items if isinstance(items, dict) else first, definitions, deeper)


def _is_null(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("type") == "null"


def _tell(clean: Json, words: str) -> None:
    said = clean.get("description")
    clean["description"] = f"{said} ({words})" if said else words

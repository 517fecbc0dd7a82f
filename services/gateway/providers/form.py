"""The form of a Messages request: each known field of the type it must have.

What is not is refused by the field's name, in the words of Anthropic's API. Fields, blocks and
tools of kinds that are not known here pass: new ones come every month. A request for Anthropic
itself is never asked; there the provider refuses.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from libs.common.errors import InvalidRequest
from services.gateway.providers.base import Json
from services.gateway.providers.schemas import check as check_schema


class Kind(NamedTuple):
    """The exact Python types of a JSON value (`true` is no integer), and what to call them."""

    types: tuple[type, ...]
    words: str


STRING = Kind((str,), "a valid string")
INTEGER = Kind((int,), "a valid integer")
NUMBER = Kind((int, float), "a valid number")
FLAG = Kind((bool,), "a valid boolean")
LIST = Kind((list,), "a valid list")
OBJECT = Kind((dict,), "an object")


def must(owner: Json, name: str, kind: Kind, where: str = "") -> Any:
    """A field that has to be there. Raises InvalidRequest."""
    value = owner.get(name)
    if type(value) in kind.types:
        return value
    place = f"{where}.{name}" if where else name
    wrong = "Field required" if value is None else f"Input should be {kind.words}"
    raise InvalidRequest(f"{place}: {wrong}")


def may(owner: Json, name: str, kind: Kind, where: str = "") -> Any:
    """A field that may be missing, or null. Raises InvalidRequest."""
    return None if owner.get(name) is None else must(owner, name, kind, where)


FIELDS = {
    "temperature": NUMBER,
    "top_p": NUMBER,
    "top_k": INTEGER,
    "stop_sequences": LIST,
    "metadata": OBJECT,
    "thinking": OBJECT,
    "output_config": OBJECT,
    "tools": LIST,
    "tool_choice": OBJECT,
}
# What the fields of an object of that name must be.
PARTS = {
    "metadata": {"user_id": STRING},
    "thinking": {"budget_tokens": INTEGER},
    "output_config": {"effort": STRING, "format": OBJECT},
}
# What a block of that type must hold, and may hold.
BLOCKS = {
    "text": ((must, "text", STRING),),
    "tool_use": ((must, "id", STRING), (must, "name", STRING), (may, "input", OBJECT)),
    "tool_result": ((must, "tool_use_id", STRING), (may, "is_error", FLAG)),
    "image": ((must, "source", OBJECT),),
    "document": ((must, "source", OBJECT), (may, "citations", OBJECT)),
    "thinking": ((may, "thinking", STRING), (may, "signature", STRING)),
}
SOURCES = {
    "base64": {"media_type": STRING, "data": STRING},
    "url": {"url": STRING},
    "text": {"data": STRING},
}
ROLES = ("user", "assistant", "system")
CHOICES = ("auto", "any", "tool", "none")


def check_form(request: Json) -> None:
    """Raises InvalidRequest naming the first field that is not as it must be."""
    check_fields(request)
    for at, block in enumerate(system_of(request)):
        check_block(block, f"system.{at}")
    for at, _, content in messages_of(request):
        _check_content(content, f"messages.{at}.content")
    for at, tool in enumerate(request.get("tools") or ()):
        check_tool(tool, f"tools.{at}")
    choice_of(request)


def check_fields(request: Json) -> None:
    """The fields beside the conversation and what the tools are."""
    for name in request:
        if name in FIELDS:
            value = may(request, name, FIELDS[name]) or {}
            for part, wanted in PARTS.get(name, {}).items():
                may(value, part, wanted, name)
    for at, stop in enumerate(request.get("stop_sequences") or ()):
        _is(stop, STRING, f"stop_sequences.{at}")
    thinking = request.get("thinking")
    if thinking is not None and must(thinking, "type", STRING, "thinking") == "enabled":
        must(thinking, "budget_tokens", INTEGER, "thinking")


def system_of(request: Json) -> list[Json]:
    system = request.get("system")
    return [] if system is None else blocks_of(system, "system")


def messages_of(request: Json) -> Iterator[tuple[int, str, Any]]:
    """Each message's place, role and content."""
    for at, message in enumerate(must(request, "messages", LIST)):
        where = f"messages.{at}"
        _is(message, OBJECT, where)
        role = must(message, "role", STRING, where)
        if role not in ROLES:
            raise InvalidRequest(f"{where}.role: Input should be 'user', 'assistant' or 'system'")
        if message.get("content") is None:
            raise InvalidRequest(f"{where}.content: Field required")
        yield at, role, message["content"]


def blocks_of(content: Any, where: str) -> list[Json]:
    """A string is one block of text, an empty one none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if isinstance(content, list) and all(isinstance(block, dict) for block in content):
        return content
    raise InvalidRequest(f"{where}: Input should be a string or a list of content blocks")


def results_of(block: Json, where: str) -> list[Json]:
    """What a tool_result holds; it need not hold anything."""
    content = block.get("content")
    return [] if content is None else blocks_of(content, f"{where}.content")


def check_block(block: Json, where: str) -> None:
    """One block by itself, without the blocks in it."""
    kind = must(block, "type", STRING, where)
    for check, name, wanted in BLOCKS.get(kind, ()):
        check(block, name, wanted, where)
    if kind in ("image", "document"):
        source, at = block["source"], f"{where}.source"
        for name, needed in SOURCES.get(must(source, "type", STRING, at), {}).items():
            must(source, name, needed, at)


def check_tool(tool: Any, where: str) -> None:
    _is(tool, OBJECT, where)
    may(tool, "name", STRING, where)
    if (may(tool, "type", STRING, where) or "custom") != "custom":
        return  # of the provider's own making, in a form of its own
    if not must(tool, "name", STRING, where):
        raise InvalidRequest(f"{where}.name: Field required")
    may(tool, "description", STRING, where)
    check_schema(must(tool, "input_schema", OBJECT, where), f"{where}.input_schema")


def choice_of(request: Json) -> Json:
    choice: Json = may(request, "tool_choice", OBJECT) or {}
    kind = may(choice, "type", STRING, "tool_choice")
    if kind is not None and kind not in CHOICES:
        raise InvalidRequest("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    names = [tool.get("name") for tool in request.get("tools") or ()]
    if kind == "tool" and choice.get("name") not in names:
        raise InvalidRequest(f"tool_choice.name: {choice.get('name')!r} is not among the tools")
    return choice


def _is(value: Any, kind: Kind, where: str) -> None:
    if type(value) not in kind.types:
        raise InvalidRequest(f"{where}: Input should be {kind.words}")


def _check_content(content: Any, where: str) -> None:
    for at, block in enumerate(blocks_of(content, where)):
        place = f"{where}.{at}"
        check_block(block, place)
        if block["type"] == "tool_result":
            _check_content(results_of(block, place), f"{place}.content")

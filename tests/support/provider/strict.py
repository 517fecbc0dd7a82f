"""What the Messages API refuses, as its documentation and its known answers have it.

Fields nobody knows are taken, since clients send what is newer than this file; fields that
belong to a beta are refused without it.
"""

import re
from collections.abc import Iterator
from typing import Any

from tests.support.provider.models import FACTS, Facts
from tests.support.provider.seal import is_sealed, sign

Json = dict[str, Any]
SAMPLING = ("temperature", "top_p", "top_k")
NEW_VERSION = "2026-10-21"
VERSIONS = ("2023-01-01", "2023-06-01", NEW_VERSION)
NEEDS_BETA = {"context_management": "context-management-", "thread": "message-threads-"}
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
THINKING = ("thinking", "redacted_thinking")


class Refused(Exception):
    """An error answer in the provider's shape."""

    def __init__(
        self, status: int, message: str, kind: str = "", details: Json | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.details = status, message, kind, details


def bad(message: str) -> Refused:
    return Refused(400, message)


def check_headers(headers: Json, key: str, bearer: str) -> None:
    """One credential, and only one; a version that exists; a host of ours."""
    api_key, authorization = headers.get("x-api-key"), headers.get("authorization")
    if api_key and authorization:
        raise Refused(401, "send x-api-key or authorization, not both")
    if api_key != key and authorization not in (f"Bearer {key}", f"Bearer {bearer}"):
        raise Refused(401, "invalid x-api-key")
    version = headers.get("anthropic-version")
    if not version:
        raise bad("anthropic-version: header is required")
    if version not in VERSIONS:
        raise bad(f"anthropic-version: {version} is not a valid version")


def check_message(body: Json, version: str, betas: list[str], *, counting: bool = False) -> None:
    """Raises Refused for what the API does not take."""
    if not isinstance(body, dict):
        raise bad("the body must be an object")
    facts = _model(body)
    _shapes(body)
    _figures(body, facts, counting)
    _betas(body, betas)
    _version(body, version)
    _thinking(body, facts)
    _tools(body)
    _turns(body, facts, betas)
    _blocks(body)
    _signatures(body)
    if "thread" not in body:
        _results(body["messages"])
        _first_is_thinking(body)


def _model(body: Json) -> Facts:
    model = body.get("model")
    if not isinstance(model, str):
        raise bad("model: Field required")
    if model not in FACTS:
        raise Refused(404, f"model: {model}")
    return FACTS[model]


def _shapes(body: Json) -> None:
    """What the checks below take for granted."""
    objects = ("thinking", "output_config", "tool_choice", "metadata", "context_management")
    for name in objects:
        if not isinstance(body.get(name, {}), dict):
            raise bad(f"{name}: Input should be an object")
    for name in ("messages", "tools"):
        if not _objects(body.get(name, [])):
            raise bad(f"{name}: Input should be a list of objects")
    contents = [message.get("content") for message in body.get("messages", [])]
    for content in (body.get("system", ""), *contents):
        blocks = [] if isinstance(content, str) else content
        if not _objects(blocks) or not all(isinstance(b.get("text", ""), str) for b in blocks):
            raise bad("messages.content: Input should be a string or a list of blocks")
    if not isinstance(body.get("thinking", {}).get("budget_tokens", 0), int):
        raise bad("thinking.budget_tokens: Input should be a valid integer")


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _figures(body: Json, facts: Facts, counting: bool) -> None:
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        raise bad("messages: at least one message is required")
    if counting:
        return
    limit = body.get("max_tokens")
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise bad("max_tokens: Field required")
    if not 1 <= limit <= facts.output:
        raise bad(
            f"max_tokens: {limit} > {facts.output}, which is the maximum allowed number of "
            f"output tokens for {body['model']}"
        )


def _betas(body: Json, betas: list[str]) -> None:
    for field, prefix in NEEDS_BETA.items():
        if field in body and not any(beta.startswith(prefix) for beta in betas):
            raise bad(f"{field}: Extra inputs are not permitted")


def _version(body: Json, version: str) -> None:
    if version != NEW_VERSION:
        return
    for name in SAMPLING:
        if name in body:
            raise bad(f"{name}: Extra inputs are not permitted")
    for where, message in enumerate(body["messages"]):
        for block in _content(message):
            if message["role"] == "assistant" and block.get("type") == "document":
                raise bad(f"messages.{where}: document blocks are not allowed here")
            if message["role"] == "user" and block.get("type") == "text" and block.get("citations"):
                raise bad(f"messages.{where}: citations are not allowed in user text")


def _thinking(body: Json, facts: Facts) -> None:
    thinking = body.get("thinking") or {"type": "disabled"}
    kind = thinking.get("type")
    if kind in ("enabled", "adaptive") and kind not in facts.thinking:
        raise bad(f"thinking.type: {kind} is not supported by {body['model']}")
    if kind == "enabled":
        budget = thinking.get("budget_tokens", 0)
        if not 1024 <= budget < body.get("max_tokens", budget + 1):
            raise bad("max_tokens must be greater than thinking.budget_tokens (at least 1024)")
        if body.get("temperature", 1) != 1:
            raise bad("`temperature` may only be set to 1 when thinking is enabled")
        if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
            raise bad("Thinking may not be enabled when tool_choice forces tool use.")
    if (body.get("output_config") or {}).get("effort") and not facts.effort:
        raise bad("output_config.effort: this model does not support the effort parameter")


def _tools(body: Json) -> None:
    tools = body.get("tools") or []
    for where, tool in enumerate(tools):
        _tool(where, tool)
    names = [str(tool.get("name")) for tool in tools]
    if len(set(names)) < len(names):
        raise bad("tools: Tool names must be unique.")
    choice = body.get("tool_choice") or {}
    if choice and not tools:
        raise bad("tool_choice may only be specified while providing tools")
    if choice.get("type") == "tool" and choice.get("name") not in names:
        raise bad(f"Tool '{choice.get('name')}' not found in provided tools")


def _tool(where: int, tool: Json) -> None:
    if tool.get("type") not in (None, "custom"):
        return
    if not TOOL_NAME.fullmatch(str(tool.get("name", ""))):
        raise bad(f"tools.{where}.custom.name: String should match pattern '{TOOL_NAME.pattern}'")
    schema = tool.get("input_schema")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise bad(f"tools.{where}.custom.input_schema.type: Field required")
    if any(word in schema for word in ("oneOf", "allOf", "anyOf")):
        raise bad(
            f"tools.{where}.custom.input_schema: input_schema does not support oneOf, allOf, or "
            "anyOf at the top level"
        )


def _turns(body: Json, facts: Facts, betas: list[str]) -> None:
    may_be_system = facts.system_role and any(b.startswith("mid-conversation-") for b in betas)
    for where, message in enumerate(body["messages"]):
        role = message.get("role")
        if role == "system" and not may_be_system:
            raise bad(f"messages.{where}.role: Input should be 'user' or 'assistant'")
        if role not in ("user", "assistant", "system"):
            raise bad(f"messages.{where}.role: Input should be 'user' or 'assistant'")
        last = where == len(body["messages"]) - 1
        if message.get("content") in ("", [], None) and not (last and role == "assistant"):
            raise bad(f"messages.{where}: all messages must have non-empty content")
    if body["messages"][0]["role"] != "user" and "thread" not in body:
        raise bad('messages: first message must use the "user" role')


def _blocks(body: Json) -> None:
    marks = 0
    for block in _all_blocks(body):
        mark = block.get("cache_control")
        if block.get("type") == "text" and not str(block.get("text", "")).strip():
            reason = "cache_control cannot be set for empty text blocks" if mark else ""
            raise bad(reason or "text content blocks must be non-empty")
        if mark:
            marks += 1
            if mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in ("5m", "1h"):
                raise bad("cache_control: Input tag is not 'ephemeral' with ttl 5m or 1h")
    if marks > 4:
        raise bad(f"A maximum of 4 blocks with cache_control may be provided. Found {marks}.")


def _signatures(body: Json) -> None:
    for where, message in enumerate(body["messages"]):
        for index, block in enumerate(_content(message)):
            at = f"messages.{where}.content.{index}"
            if block.get("type") == "thinking":
                _signature(at, block)
            if block.get("type") == "redacted_thinking" and not is_sealed(block.get("data", "")):
                raise bad(f"{at}: Invalid `data` in `redacted_thinking` block")


def _signature(at: str, block: Json) -> None:
    if "signature" not in block:
        raise bad(f"{at}.thinking.signature: Field required")
    if block["signature"] not in (sign(block.get("thinking", "")), sign("")):
        raise bad(f"{at}: Invalid `signature` in `thinking` block")


def _results(messages: list[Json]) -> None:
    """Each tool call has one result in the next turn, and no result is without its call."""
    open_calls: list[str] = []
    for where, message in enumerate(messages):
        if message["role"] == "system":
            continue
        blocks = _content(message)
        found = [b.get("tool_use_id") for b in blocks if b.get("type") == "tool_result"]
        for name in found:
            if name not in open_calls:
                raise bad(f"messages.{where}: unexpected `tool_use_id` found in `tool_result`")
            if found.count(name) > 1:
                raise bad(f"messages.{where}: each tool_use must have a single result")
        missing = [name for name in open_calls if name not in found]
        if missing:
            raise bad(
                f"messages.{where}: `tool_use` ids were found without `tool_result` blocks "
                f"immediately after: {missing[0]}"
            )
        open_calls = [b["id"] for b in blocks if b.get("type") == "tool_use"]
        if len(set(open_calls)) < len(open_calls):
            raise bad(f"messages.{where}: `tool_use` ids must be unique")


def _first_is_thinking(body: Json) -> None:
    """With a thinking budget, a last turn that called tools must begin with its thinking."""
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    turns = [message for message in body["messages"] if message["role"] == "assistant"]
    last_user: Json = next((m for m in reversed(body["messages"]) if m["role"] == "user"), {})
    waits = any(block.get("type") == "tool_result" for block in _content(last_user))
    if turns and waits and _content(turns[-1])[0].get("type") not in THINKING:
        raise bad(
            "Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is "
            "enabled, a final `assistant` message must start with a thinking block."
        )


def _content(message: Json) -> list[Json]:
    content = message.get("content")
    return [b for b in content if isinstance(b, dict)] if isinstance(content, list) else []


def _all_blocks(body: Json) -> Iterator[Json]:
    yield from body.get("tools") or []
    system = body.get("system")
    if isinstance(system, list):
        yield from system
    for message in body["messages"]:
        for block in _content(message):
            yield block
            if block.get("type") == "tool_result" and isinstance(block.get("content"), list):
                yield from block["content"]

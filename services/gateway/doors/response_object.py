"""A canonical message as a Response object, and its parts as output items."""

from services.gateway.doors import canonical
from services.gateway.doors.canonical import Json
from services.gateway.providers.text import dump_text, string

REASONS = {"max_tokens": "max_output_tokens", "model_context_window_exceeded": "max_output_tokens"}
REASONS |= {"refusal": "content_filter"}


def response_id(message: Json) -> str:
    return "resp_" + str(message.get("id") or "").removeprefix("msg_")


def item_id(message: Json, kind: str, index: int) -> str:
    """Stable within an answer: the item's kind, the answer, its place."""
    prefix = {"text": "msg", "thinking": "rs", "tool_use": "fc"}[kind]
    return f"{prefix}_{str(message.get('id') or '').removeprefix('msg_')}_{index}"


def item_of(block: Json, id: str, status: str = "completed") -> Json:
    """One content block as an output item."""
    if block["type"] == "text":
        return {
            "id": id,
            "type": "message",
            "role": "assistant",
            "status": status,
            "content": [text_part(string(block["text"]))] if status == "completed" else [],
        }
    if block["type"] == "thinking":
        text = string(block.get("thinking"))
        return {
            "id": id,
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": text}] if text else [],
            "encrypted_content": string(block.get("signature")) or None,
            "status": status,
        }
    return {
        "id": id,
        "type": "function_call",
        "status": status,
        "call_id": string(block["id"]),
        "name": string(block["name"]),
        "arguments": dump_text(block.get("input") or {}) if status == "completed" else "",
    }


def text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def shell(message: Json, created: int) -> Json:
    """A Response that is under way."""
    return {
        "id": response_id(message),
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": string(message.get("model")),
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None,
    }


def finished(response: Json, output: list[Json], stop: object, usage: Json) -> Json:
    reason = REASONS.get(str(stop))
    return {
        **response,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": usage_of(usage),
    }


def usage_of(usage: Json) -> Json:
    told, prompt = canonical.prompt_tokens(usage)
    written = told.cache_write_5m + told.cache_write_1h
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": told.cache_read, "cache_write_tokens": written},
        "output_tokens": told.output,
        "output_tokens_details": {"reasoning_tokens": told.reasoning},
        "total_tokens": prompt + told.output,
    }


def response_of(message: Json, created: int) -> Json:
    kinds = ("text", "thinking", "tool_use")
    blocks = [block for block in message.get("content") or [] if block["type"] in kinds]
    output = [
        item_of(block, item_id(message, block["type"], index)) for index, block in enumerate(blocks)
    ]
    usage = message.get("usage") or {}
    return finished(shell(message, created), output, message.get("stop_reason"), usage)

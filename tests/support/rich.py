"""Requests that use all there is, in each of the three forms."""

from typing import Any

Json = dict[str, Any]

PNG = "iVBORw0KGgo="
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
DATA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "city": {"type": "string", "enum": ["Paris", "Rome"], "description": "Which"},
        "days": {"type": ["integer", "null"], "minimum": 1},
        "hours": {"type": "array", "items": {"type": "number"}, "minItems": 1},
        "unit": {"anyOf": [{"type": "object", "properties": {}}, {"$ref": "#/$defs/Unit"}]},
    },
    "$defs": {"Unit": {"type": "string"}},
    "required": ["city", "days", "hours"],
}
MARK = {"type": "ephemeral", "ttl": "1h"}
ASKED: list[Json] = [
    {"type": "text", "text": "Use get_weather", "cache_control": MARK},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    {
        "type": "document",
        "title": "Notes",
        "context": "Of May",
        "citations": {"enabled": True},
        "source": {"type": "text", "media_type": "text/plain", "data": "Hello"},
    },
]
SAID: list[Json] = [
    {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "ZGF0YQ=="},
    {
        "type": "text",
        "text": "I ask",
        "citations": [{"type": "char_location", "cited_text": "Hello", "document_index": 0}],
    },
    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
]
RESULT: Json = {
    "type": "tool_result",
    "tool_use_id": "toolu_1",
    "is_error": False,
    "content": [
        {"type": "text", "text": "Sunny"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ],
}
TOOL: Json = {
    "name": "get_weather",
    "description": "The weather",
    "strict": True,
    "cache_control": MARK,
    "input_schema": DATA,
}
# What models of every maker take.
COMMON: Json = {
    "model": "claude-haiku-4-5",
    "max_tokens": 4000,
    "stream": False,
    "system": [{"type": "text", "text": "Be brief", "cache_control": MARK}],
    "messages": [
        {"role": "user", "content": ASKED},
        {"role": "assistant", "content": SAID},
        {"role": "user", "content": [RESULT, {"type": "text", "text": "And with Bash?"}]},
        {"role": "system", "content": "The tools have changed"},
        {"role": "user", "content": "Use get_weather"},
    ],
    "tools": [
        TOOL,
        {"type": "bash_20250124", "name": "bash"},
        {"type": "memory_20250818", "name": "memory"},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "temperature": 1,
    "top_p": 0.9,
    "metadata": {"user_id": "user_1_session_2"},
    "thinking": {"type": "enabled", "budget_tokens": 2000},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": DATA}},
}
# And what only Claude takes.
RICH: Json = COMMON | {
    "top_k": 5,
    "stop_sequences": ["END"],
    "tool_choice": {"type": "tool", "name": "get_weather"},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "context_management": {
        "edits": [
            {
                "type": "clear_tool_uses_20250919",
                "trigger": {"type": "input_tokens", "value": 9000},
            }
        ]
    },
    "service_tier": "auto",
    "speed": "fast",
    "container": {"skills": [{"type": "anthropic", "skill_id": "pdf", "version": "latest"}]},
    "mcp_servers": [
        {
            "type": "url",
            "url": "https://example.com",
            "name": "notes",
            "tool_configuration": {"enabled": True, "allowed_tools": ["read"]},
        }
    ],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
                {
                    "type": "search_result",
                    "source": "https://example.com",
                    "title": "Notes",
                    "content": [{"type": "text", "text": "Hello"}],
                    "citations": {"enabled": True},
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
                {
                    "type": "web_search_tool_result",
                    "tool_use_id": "s1",
                    "content": [{"type": "web_search_result", "url": "https://example.com"}],
                },
            ],
        },
        *COMMON["messages"],
    ],
}
CHAT: Json = {
    "model": "gpt-6.1-terra",
    "messages": [
        {"role": "system", "content": "Be brief", "name": "rules"},
        {"role": "developer", "content": [{"type": "text", "text": "And exact"}]},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "Use get_weather"},
                {
                    "type": "image_url",
                    "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"},
                },
                {
                    "type": "file",
                    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
                },
            ],
        },
        {
            "role": "assistant",
            "content": "I ask",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "Sun"}]},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "get_weather",
                "description": "The weather",
                "strict": True,
                "parameters": CITY,
            },
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "get_weather"}},
    "parallel_tool_calls": True,
    "max_completion_tokens": 100,
    "temperature": 1,
    "top_p": 0.9,
    "n": 1,
    "user": "ann",
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": CITY},
    },
    "stream": False,
    "stream_options": {"include_usage": True},
    "reasoning_effort": "low",
    "verbosity": "low",
    "metadata": {"team": "blue"},
    "store": False,
}
RESPONSES: Json = {
    "model": "gpt-6.1-terra",
    "instructions": "Be brief",
    "input": [
        {"role": "developer", "content": "And exact"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Use get_weather"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                {
                    "type": "input_file",
                    "filename": "a.pdf",
                    "file_data": "data:application/pdf;base64,JVBE",
                },
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm"}],
            "encrypted_content": "x",
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {"type": "output_text", "text": "I ask", "annotations": []},
                {"type": "refusal", "refusal": "No"},
            ],
        },
        {
            "type": "function_call",
            "call_id": "call_1",
            "name": "get_weather",
            "arguments": '{"city":"Paris"}',
        },
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "Sun"}],
        },
        {"role": "user", "content": "And now?"},
    ],
    "tools": [
        {
            "type": "function",
            "name": "get_weather",
            "description": "The weather",
            "strict": True,
            "parameters": CITY,
        }
    ],
    "tool_choice": {"type": "function", "name": "get_weather"},
    "parallel_tool_calls": True,
    "max_output_tokens": 100,
    "temperature": 1,
    "top_p": 1,
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {
        "format": {"type": "json_schema", "name": "answer", "schema": CITY, "strict": True},
        "verbosity": "low",
    },
    "metadata": {"team": "blue"},
    "store": False,
    "stream": False,
    "include": ["reasoning.encrypted_content"],
}

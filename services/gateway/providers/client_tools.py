"""Tools that Anthropic defines and the client runs, written out for any other model.

Their schemas are published: docs.anthropic.com/en/docs/agents-and-tools/tool-use.
"""

from services.gateway.providers.base import Json

_TEXT: Json = {"type": "string"}
# By the beginning of the type: its date is the version.
CLIENT_TOOLS: dict[str, tuple[str, Json]] = {
    "bash_2": (
        "Run a command in a persistent bash session.",
        {
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "The command to run."},
                "restart": {"type": "boolean", "description": "Restart the session instead."},
            },
        },
    ),
    "text_editor_2": (
        "View, create and edit text files.",
        {
            "type": "object",
            "properties": {
                "command": {"type": "string", "enum": ["view", "create", "str_replace", "insert"]},
                "path": _TEXT,
                "file_text": _TEXT,
                "old_str": _TEXT,
                "new_str": _TEXT,
                "insert_line": {"type": "integer"},
                "insert_text": _TEXT,
                "view_range": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["command", "path"],
        },
    ),
    "memory_2": (
        "Keep notes in files below /memories that outlive the conversation.",
        {
            "type": "object",
            "properties": {
                "command": {
                    "type": "string",
                    "enum": ["view", "create", "str_replace", "insert", "delete", "rename"],
                },
                "path": _TEXT,
                "file_text": _TEXT,
                "old_str": _TEXT,
                "new_str": _TEXT,
                "insert_line": {"type": "integer"},
                "insert_text": _TEXT,
                "old_path": _TEXT,
                "new_path": _TEXT,
                "view_range": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["command"],
        },
    ),
}

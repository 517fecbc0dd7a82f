"""Doors for OpenAI-shaped clients: their requests into canonical form, our answers back.

Each is a module of the same names: `to_canonical`, `from_canonical`, `Stream`, `render_error`.
"""

from services.gateway.doors import openai_chat, openai_responses

DOORS = {"chat": openai_chat, "responses": openai_responses}

__all__ = ["DOORS"]

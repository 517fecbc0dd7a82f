"""Which path is answered by what."""

import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from tests.support.provider import chat, embeddings, gemini, keeping, messages, responses
from tests.support.provider.exchange import Exchange
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused

Handler = Callable[[Provider, Exchange], Awaitable[web.StreamResponse]]


async def _root(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    return web.Response(text="stand-in")


async def _unknown(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    raise Refused(404, "Not Found")


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("POST", r"/v1/messages", messages.create),
    ("POST", r"/v1/messages/count_tokens", messages.count),
    ("GET", r"/v1/models(/[^/]+)?", messages.models),
    ("POST", r"/v1/messages/batches", keeping.batches),
    ("GET", r"/v1/messages/batches", keeping.batches),
    ("GET", r"/v1/messages/batches/[^/]+", keeping.batch),
    ("DELETE", r"/v1/messages/batches/[^/]+", keeping.batch),
    ("POST", r"/v1/messages/batches/[^/]+/cancel", keeping.batch),
    ("GET", r"/v1/messages/batches/[^/]+/results", keeping.results),
    ("POST", r"/v1/files", keeping.files),
    ("GET", r"/v1/files", keeping.files),
    ("GET", r"/v1/files/[^/]+", keeping.file),
    ("DELETE", r"/v1/files/[^/]+", keeping.file),
    ("GET", r"/v1/files/[^/]+/content", keeping.file),
    ("POST", r"/openai/v1/chat/completions", chat.openai),
    ("POST", r"/openai/v1/responses", responses.create),
    ("POST", r"/deepseek/chat/completions", chat.deepseek),
    ("POST", r"/mistral/v1/chat/completions", chat.mistral),
    ("POST", r"/(openai|mistral)/v1/embeddings", embeddings.create),
    ("POST", r"/v1beta/models/[^/:]+:(stream)?[gG]enerateContent", gemini.generate),
    ("GET", r"/", _root),
    ("HEAD", r"/", _root),
)


def find(method: str, path: str) -> Handler:
    for verb, pattern, handler in ROUTES:
        if verb == method and re.fullmatch(pattern, path):
            return handler
    return _unknown

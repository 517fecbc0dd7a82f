"""OpenAI's and Mistral's embeddings: the vectors are made up, the counting is not."""

import base64
import struct
from typing import Any

from aiohttp import web

from tests.support.provider.bill import Used
from tests.support.provider.caching import size
from tests.support.provider.chat import check_bearer
from tests.support.provider.exchange import Exchange, foreign_error, foreign_plain
from tests.support.provider.state import Provider
from tests.support.provider.strict import Refused, bad

Json = dict[str, Any]
OPENAI = frozenset({"model", "input", "encoding_format", "dimensions", "user"})
MISTRAL = frozenset({"model", "input", "encoding_format", "output_dimension", "output_dtype"})
MODELS = {"openai": "text-embedding-3-small", "mistral": "mistral-embed"}


async def create(provider: Provider, exchange: Exchange) -> web.StreamResponse:
    """POST /openai/v1/embeddings and /mistral/v1/embeddings"""
    kind = exchange.call.path.split("/")[1]
    try:
        check_bearer(provider, exchange)
        body = exchange.body
        _check(body, kind)
    except Refused as refused:
        exchange.call.why = refused.message
        return foreign_error(exchange, refused.status, refused.message)
    scene = provider.scene("", 0)
    if scene.status >= 400:
        return foreign_error(exchange, scene.status, scene.message, scene)
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    used = Used(input=sum(map(size, texts)))
    provider.charge(exchange.call, {"model": body["model"], "id": "embd"}, used)
    return foreign_plain(exchange, _answer(body, texts, used))


def _check(body: Json, kind: str) -> None:
    known = {"openai": OPENAI, "mistral": MISTRAL}[kind]
    for name in body:
        if name not in known:
            raise bad(f"Unrecognized request argument supplied: {name}")
    if body.get("model") != MODELS[kind]:
        raise Refused(404, f"The model `{body.get('model')}` does not exist")
    given = body.get("input")
    if not given or not all(given if isinstance(given, list) else [given]):
        raise bad("'$.input' is invalid.")


def _answer(body: Json, texts: list[str], used: Used) -> Json:
    vectors = [[float(len(text)), 0.5, -0.25] for text in texts]
    packed = body.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(v) if packed else v}
        for index, v in enumerate(vectors)
    ]
    usage = {"prompt_tokens": used.input, "total_tokens": used.input}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()

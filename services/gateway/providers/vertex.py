"""Claude on Google Vertex AI: rawPredict and streamRawPredict, Anthropic's events as they are.

Source: docs.cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude. The key is an
access token; empty means the machine's own Google credentials (see signing.py).
"""

from libs.common.catalogue import ModelFacts
from services.gateway.providers.anthropic import Stream, error_of, from_upstream, usage_of
from services.gateway.providers.base import Json, Options, Origin, Translated
from services.gateway.providers.bedrock import BETAS as BEDROCK_BETAS
from services.gateway.providers.bedrock import TAKES as BEDROCK_TAKES
from services.gateway.providers.claude_cloud import prepare, refuse_server_tools, tidy

__all__ = [
    "Stream",
    "error_of",
    "from_upstream",
    "headers",
    "path",
    "to_upstream",
    "usage_of",
]

VERSION = "vertex-2023-10-16"
TAKES = BEDROCK_TAKES | {"metadata"}
BETAS = BEDROCK_BETAS | {"web-search-2025-03-05", "extended-cache-ttl-2025-04-11"}
# Models whose names carry a date here; a line in the provider's options overrides any.
IDS = {
    "claude-opus-4-1": "claude-opus-4-1@20250805",
    "claude-sonnet-4-5": "claude-sonnet-4-5@20250929",
    "claude-haiku-4-5": "claude-haiku-4-5@20251001",
    "claude-opus-4-5": "claude-opus-4-5@20251101",
}


def path(model: str, stream: bool, options: Options) -> str:
    method = "streamRawPredict" if stream else "rawPredict"
    return f"/publishers/anthropic/models/{options.get(model) or IDS.get(model, model)}:{method}"


def headers(credential: str, options: Options) -> dict[str, str]:
    return {"authorization": f"Bearer {credential}"} if credential else {}


def to_upstream(request: Json, model: str, facts: ModelFacts | None, origin: Origin) -> Translated:
    made, betas = prepare(request, model, origin, TAKES, BETAS)
    body = made.body
    refuse_server_tools(body, "Vertex AI", ("web_search_",))
    tidy(body)
    body["anthropic_version"] = VERSION
    if betas:
        body["anthropic_beta"] = betas
    if request.get("stream"):
        body["stream"] = True
    return made

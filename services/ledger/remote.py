"""A running gateway, over HTTP, for commands."""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from libs.common.errors import MuxError
from libs.common.settings.load import read_dotenv

URL = "http://127.0.0.1:8000"
DEVELOPMENT_KEY = "sk-test-claude-dev"  # what a gateway without configured keys accepts
TIMEOUT = 15


def ask(method: str, path: str, body: dict[str, Any] | None = None, **query: str) -> dict[str, Any]:
    """One call to the gateway at MODELMUXER_URL with MODELMUXER_KEY. Raises MuxError with what
    it answers."""
    environment = {**read_dotenv(Path(".env")), **os.environ}
    base = environment.get("MODELMUXER_URL", URL).rstrip("/")
    key = environment.get("MODELMUXER_KEY") or environment.get("API_KEYS", "").partition(",")[0]
    given = urllib.parse.urlencode({name: value for name, value in query.items() if value})
    request = urllib.request.Request(
        f"{base}{path}" + (f"?{given}" if given else ""),
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {key.strip() or DEVELOPMENT_KEY}",
            "Content-Type": "application/json",
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        raise MuxError(_refusal(error)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise MuxError(f"no gateway at {base} ({reason}); start one with `modelmuxer up`") from None


def segment(text: str) -> str:
    """A name as one segment of a path."""
    return urllib.parse.quote(text, safe="")


def _refusal(error: urllib.error.HTTPError) -> str:
    with error:
        try:
            words = str(json.load(error)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            words = f"the gateway answered {error.code}"
    if error.code in (401, 403):
        return f"{words} (set MODELMUXER_KEY to an admin key of the gateway)"
    return words

"""Credentials that must be made for each request: AWS signatures, Google access tokens.

The only module here that may wait for the network (a metadata service, a token endpoint):
`sign` blocks, so the gateway calls it in a thread. botocore and google-auth are optional
extras (`pip install 'modelmuxer[bedrock]'`, `'modelmuxer[vertex]'`).
"""

import importlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from libs.common.errors import Unavailable
from services.gateway.providers.base import Options
from services.gateway.providers.bedrock import is_api_key

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


def sign_bedrock(
    url: str, headers: Mapping[str, str], body: bytes, credential: str, options: Options
) -> dict[str, str]:
    """The headers that AWS Signature Version 4 adds to a POST of these bytes."""
    if is_api_key(credential):
        return {}
    auth = _module("botocore.auth", "bedrock")
    request = _module("botocore.awsrequest", "bedrock").AWSRequest(
        method="POST", url=url, headers=dict(headers), data=body
    )
    region = options.get("region", "us-east-1")
    try:
        auth.SigV4Auth(_aws_credentials(credential), "bedrock", region).add_auth(request)
    except _module("botocore.exceptions", "bedrock").BotoCoreError as error:
        raise Unavailable(f"AWS gave no credentials: {error}") from None
    signed: dict[str, str] = {name.lower(): value for name, value in request.headers.items()}
    return {name: signed[name] for name in signed if name.startswith(("authorization", "x-amz-"))}


def sign_vertex(
    url: str, headers: Mapping[str, str], body: bytes, credential: str, options: Options
) -> dict[str, str]:
    """A fresh access token of the machine's own Google credentials."""
    if credential:
        return {}
    try:
        credentials = _google_credentials()
        if not credentials.valid:
            credentials.refresh(_module("google.auth.transport.requests", "vertex").Request())
    except _module("google.auth.exceptions", "vertex").GoogleAuthError as error:
        raise Unavailable(f"Google gave no access token: {error.args[0]}") from None
    return {"authorization": f"Bearer {credentials.token}"}


Signer = Callable[[str, Mapping[str, str], bytes, str, Options], dict[str, str]]
SIGNERS: dict[str, Signer] = {"bedrock": sign_bedrock, "vertex": sign_vertex}


def _aws_credentials(credential: str) -> Any:
    """`ACCESS:SECRET[:SESSION]`, or what AWS's usual places hold."""
    if credential:
        return _module("botocore.credentials", "bedrock").Credentials(*credential.split(":", 2))
    found = _aws_session().get_credentials()
    if found is None:
        raise Unavailable(
            "No AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a Bedrock "
            "API key as the provider's api_key."
        )
    return found.get_frozen_credentials()


# Sessions and credentials refresh themselves; making them anew reads files each time.
@lru_cache(maxsize=1)
def _aws_session() -> Any:
    return _module("botocore.session", "bedrock").get_session()


@lru_cache(maxsize=1)
def _google_credentials() -> Any:
    credentials, _ = _module("google.auth", "vertex").default(scopes=[SCOPE])
    return credentials


def _module(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise Unavailable(f"Needs an optional package: pip install 'modelmuxer[{extra}]'") from None

"""What is well-formed in the settings and still cannot work, each in one line with its fix."""

import importlib
import os
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from libs.common.errors import MuxError
from libs.common.prices import PriceTable
from libs.common.settings.load import ConfigError, Loaded, resolve

LOCATION = re.compile(r"(env|file):")
REDIS_URL = re.compile(r"(rediss?|unix)://")


def faults_of(loaded: Loaded) -> Iterator[str]:
    """Everything; providers that nobody can call keep nothing from starting."""
    yield from fatal(loaded)
    yield from _missing_secrets(loaded, re.compile(r"(?!keys\.|providers\..*\.api_keys?$)"))
    yield from _of_gateway("faults", "faults_of", loaded)


def fatal(loaded: Loaded) -> Iterator[str]:
    """What keeps a service from starting."""
    settings = loaded.settings
    missing = [*_missing_secrets(loaded, re.compile(r"keys\."))]
    yield from missing or _of_gateway("auth", "bootstrap_keys", loaded)
    if settings.redis_url and not REDIS_URL.match(settings.redis_url):
        yield "`redis_url`: write it as redis://HOST:6379/0"
    yield from _missing_files(loaded)
    if bool(settings.gateway.tls_cert) != bool(settings.gateway.tls_key):
        yield "`gateway.tls_cert` and `gateway.tls_key` belong together; set both"
    if settings.models:
        try:
            PriceTable.load(loaded)
        except MuxError as error:
            yield error.detail


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The settings below a node by path; an empty table is a setting too."""
    children = _children(node)
    if not children:
        yield path, node
    for name, value in children.items():
        yield from leaves(value, f"{path}.{name}" if path else name)


def _children(node: Any) -> dict[str, Any]:
    if isinstance(node, msgspec.Struct):
        return msgspec.structs.asdict(node)
    return node if isinstance(node, dict) else {}


def _missing_files(loaded: Loaded) -> Iterator[str]:
    gateway, routing = loaded.settings.gateway, loaded.settings.routing
    files = {
        "gateway.tls_cert": gateway.tls_cert,
        "gateway.tls_key": gateway.tls_key,
        "gateway.ca_file": gateway.ca_file,
        "routing.scorer": routing.scorer,
        "routing.trial.scorer": routing.trial.scorer,
    }
    for path, file in files.items():
        readable = os.path.isfile(file) and os.access(file, os.R_OK)
        if file not in ("", "off") and not readable:
            yield f"`{path}`: cannot read {file}"


def _missing_secrets(loaded: Loaded, settings: re.Pattern[str]) -> Iterator[str]:
    """The locations, in these settings, at which there is nothing."""
    for path, value in leaves(loaded.settings):
        for one in value if isinstance(value, list) else [value]:
            named = isinstance(one, str) and LOCATION.match(one) and settings.match(path)
            if named and (why := _why_missing(one, loaded)):
                yield f"`{path}`: {why}; set it, or take the setting out"


def _why_missing(location: str, loaded: Loaded) -> str:
    try:
        return "" if resolve(location, loaded.environment) else f"nothing is at {location}"
    except (OSError, UnicodeDecodeError) as error:
        return f"cannot read {location} ({error})"


def _of_gateway(module: str, check: str, loaded: Loaded) -> Iterator[str]:
    """What the gateway itself finds wrong. By name: the launcher imports no service."""
    try:
        found = getattr(importlib.import_module(f"services.gateway.{module}"), check)(loaded)
        yield from found if isinstance(found, Iterator) else ()
    except ConfigError as error:
        yield str(error)

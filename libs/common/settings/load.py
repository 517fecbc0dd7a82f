"""Read the settings and remember where each value came from.

Layers, later wins: defaults, the TOML file, `.env`, the environment. `MODELMUXER_NATS_URL`
sets `nats_url`, `MODELMUXER_GATEWAY__PORT` sets `gateway.port`; API_KEYS and MODELMUXER_DEBUG
are honoured as they stand in the guide.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from libs.common.settings import Settings
from libs.common.settings.explain import explain, type_at

PREFIX = "MODELMUXER_"
DEFAULT_FILE = "modelmuxer.toml"
# Names that belong to other parts and are no settings.
NOT_SETTINGS = {
    "MODELMUXER_CONFIG",
    "MODELMUXER_KEY",
    "MODELMUXER_URL",
    "MODELMUXER_HOME",
    "MODELMUXER_PRICES_FILE",
}
# Provider keys of the environment that switch a provider on without any file.
PROVIDER_KEYS = {
    "anthropic": ("ANTHROPIC_API_KEY",),
    "openai": ("OPENAI_API_KEY",),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "mistral": ("MISTRAL_API_KEY",),
}


class ConfigError(Exception):
    """A setting is wrong: one line that names its path and the fix."""


class Loaded(msgspec.Struct, frozen=True):
    """The settings, the source of each value by dotted path, and the environment they were
    read from (`.env` included), which resolves `env:NAME`."""

    settings: Settings
    sources: dict[str, str]
    environment: dict[str, str]
    file: str


def load(path: str | None = None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Load and check. Raises ConfigError."""
    environ = os.environ if environ is None else environ
    file = path or environ.get("MODELMUXER_CONFIG") or DEFAULT_FILE
    sources: dict[str, str] = {}
    tree = _file(Path(file), required=bool(path or environ.get("MODELMUXER_CONFIG")))
    _mark(tree, "", file, sources)
    dotenv = _dotenv(Path(".env"))
    merged = {**dotenv, **environ}
    for name, value in sorted(merged.items()):
        source = "environment" if name in environ else ".env"
        _apply(tree, name, value, source, sources)
    _provider_keys(tree, merged, sources)
    return Loaded(
        _convert(tree, file, sources), sources, merged, file if Path(file).exists() else ""
    )


def _dotenv(path: Path) -> dict[str, str]:
    try:
        return read_dotenv(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None


def read_dotenv(path: Path) -> dict[str, str]:
    """NAME=value lines; `#` comments, quotes and a leading `export` are understood."""
    values: dict[str, str] = {}
    if not path.is_file():
        return values
    for line in path.read_text().splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        values[name.strip()] = _unquoted(value.strip())
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #")[0].rstrip()


def _file(path: Path, required: bool) -> dict[str, Any]:
    if not path.exists():
        if required:
            raise ConfigError(f"{path}: no such file; `modelmuxer init` writes one")
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give another file with --config") from None


def _apply(
    tree: dict[str, Any], name: str, value: str, source: str, sources: dict[str, str]
) -> None:
    if name == "API_KEYS":
        path = ["api_keys"]
    elif name.startswith(PREFIX) and name not in NOT_SETTINGS:
        path = name.removeprefix(PREFIX).lower().split("__")
    else:
        return
    node = tree
    for part in path[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise ConfigError(f"{name}: `{part}` is not a section")
    node[path[-1]] = _typed(value, type_at(path))
    sources[".".join(path)] = f"{source} ({name})"


def _typed(text: str, kind: Any) -> Any:
    """The environment knows only text: `"8000"` is a number there, and in the file it is none.
    What fits no type stays as it is, to be told with the rest."""
    if kind == list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return msgspec.convert(text, kind or str, strict=False)
    except msgspec.ValidationError:
        return text


def _provider_keys(
    tree: dict[str, Any], environ: Mapping[str, str], sources: dict[str, str]
) -> None:
    """A provider's own variable switches it on, unless its section says otherwise."""
    providers = tree.setdefault("providers", {})
    if not isinstance(providers, dict):
        return  # told with the rest
    for provider, names in PROVIDER_KEYS.items():
        name = next((name for name in names if environ.get(name)), None)
        section = providers.setdefault(provider, {}) if name else None
        if isinstance(section, dict) and not (section.get("api_key") or section.get("api_keys")):
            section["api_key"] = f"env:{name}"
            sources[f"providers.{provider}.api_key"] = f"environment ({name})"


def _convert(tree: dict[str, Any], file: str, sources: Mapping[str, str]) -> Settings:
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(explain(str(error), tree, file, sources)) from None


def _mark(node: Any, path: str, source: str, sources: dict[str, str]) -> None:
    if isinstance(node, dict):
        for name, value in node.items():
            _mark(value, f"{path}.{name}" if path else name, source, sources)
    else:
        sources[path] = source


def resolve(location: str, environment: Mapping[str, str]) -> str:
    """The secret at a location: `env:NAME`, `file:PATH`, or the text itself. Empty if unset."""
    kind, colon, rest = location.partition(":")
    if colon and kind == "env":
        return environment.get(rest, "")
    if colon and kind == "file":
        path = Path(rest)
        return path.read_text().strip() if path.is_file() else ""
    return location

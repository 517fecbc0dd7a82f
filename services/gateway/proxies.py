"""Which proxy a provider is reached through.

`gateway.https_proxy` holds for every provider; without it the usual variables count, by the
scheme of the address. Never through a proxy: this machine, and what NO_PROXY names.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from libs.common.settings.load import ConfigError
from services.gateway.auth import is_loopback


def proxy_for(url: str, setting: str, environment: Mapping[str, str]) -> str:
    """The proxy's address, empty for a direct connection."""
    parts = urlsplit(url)
    if is_loopback(parts.hostname or ""):
        return ""
    excepted = _variable(environment, "no_proxy")
    if excepted and proxy_bypass_environment(parts.netloc, {"no": excepted}):
        return ""
    if setting:
        return setting
    return _variable(environment, f"{parts.scheme}_proxy") or _variable(environment, "all_proxy")


def check(setting: str) -> None:
    """Raises ConfigError for what is no proxy's address."""
    parts = urlsplit(setting)
    if setting and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ConfigError(
            "gateway.https_proxy: give the proxy's own address, such as http://proxy:3128"
        )


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name) or environment.get(name.upper()) or ""

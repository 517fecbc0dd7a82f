"""The environment that provider keys come from, `.env` read again as often as asked."""

import os
from pathlib import Path

from libs.common.settings.load import PROVIDER_KEYS, read_dotenv
from libs.common.settings.providers import ProviderSettings

DOTENV = Path(".env")


class Environment:
    """What the process was started with wins over `.env`, as at the start."""

    def __init__(self, started_with: dict[str, str]) -> None:
        self._last = _dotenv({})
        self._fixed = {
            name: value
            for name, value in started_with.items()
            if name in os.environ or self._last.get(name) != value
        }

    def read(self) -> dict[str, str]:
        self._last = _dotenv(self._last)
        return {**self._last, **self._fixed}

    def switched_on(self) -> dict[str, ProviderSettings]:
        """Providers that a variable alone makes live, as settings would have them."""
        values = {**self._last, **self._fixed}
        found = {}
        for provider, names in PROVIDER_KEYS.items():
            name = next((name for name in names if values.get(name)), "")
            if name:
                found[provider] = ProviderSettings(api_key=f"env:{name}")
        return found


def _dotenv(last: dict[str, str]) -> dict[str, str]:
    """A file that cannot be read just now changes nothing."""
    try:
        return read_dotenv(DOTENV)
    except (OSError, ValueError):
        return last

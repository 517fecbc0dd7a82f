"""What keeps the gateway from starting, or a provider from being called: known before it runs.
`modelmuxer config check` loads it by name."""

from collections.abc import Iterator

from libs.common.settings.load import Loaded
from services.gateway.auth import bootstrap_keys, is_own
from services.gateway.deployments import Finder


def faults_of(loaded: Loaded) -> Iterator[str]:
    """Raises ConfigError where clients could not get in, or anyone could. A named secret that is
    nowhere is told by its own setting; our own key in the environment is the guide's way."""
    settings, keys = loaded.settings, bootstrap_keys(loaded)
    finder = Finder(loaded.environment, settings.gateway, lambda key: is_own(key, keys))
    for name, entry in settings.providers.items():
        finder.targets(name, entry)
    named = {name for name, each in settings.providers.items() if each.api_key or each.api_keys}
    for fault in finder.faults:
        if (
            fault.what in ("setting", "loop")
            or fault.what == "no_key"
            and fault.provider not in named
        ):
            yield f"`providers.{fault.provider}`: {fault.why}"

"""What keeps a provider from being called, known before anything runs: `modelmuxer config check`
loads it by name."""

from collections.abc import Iterator

from libs.common.settings.load import Loaded
from services.gateway.deployments import Finder


def faults_of(loaded: Loaded) -> Iterator[str]:
    """One of our own keys in the environment is the guide's way, and no fault."""
    finder = Finder(loaded.environment, loaded.settings.gateway, lambda _: False)
    for name, entry in loaded.settings.providers.items():
        finder.targets(name, entry)
    yield from (f"`providers.{fault.provider}`: {fault.why}" for fault in finder.faults)

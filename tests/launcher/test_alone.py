"""Each service by its own command, led to its stores by the environment alone."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from services.launcher.banner import DEVELOPMENT_KEY
from tests.support.product import clean_environment
from tests.support.servers import Server, free_port

pytestmark = pytest.mark.slow
PARTS = ("ledger", "analytics", "router", "pii", "router", "pii")


@contextmanager
def command(folder: Path, *words: str, **environment: str) -> Iterator[None]:
    argv = [sys.executable, "-P", "-m", "services", *words]
    with (folder / "log").open("ab") as log:
        child = subprocess.Popen(
            argv, cwd=folder, stdout=log, stderr=log, env=clean_environment(**environment)
        )
    try:
        yield
    finally:
        child.terminate()
        assert child.wait(30) == 0


def ready(url: str, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):
                if (folder / "log").read_text().count(" is ready") == len(PARTS) + 1:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError((folder / "log").read_text()[-3000:])


def test_the_services_find_each_other_by_the_stores_addresses(
    tmp_path: Path, nats: Server, redis: Server
) -> None:
    places = {
        "MODELMUXER_NATS_URL": nats.url,
        "MODELMUXER_REDIS_URL": redis.url,
        "MODELMUXER_DATA_DIR": str(tmp_path / "data"),
    }
    url = f"http://127.0.0.1:{(port := free_port())}"
    message = {"role": "user", "content": "What is the capital of France?"}
    body = {"model": "modelmuxer-auto", "max_tokens": 50, "messages": [message]}
    asked = urllib.request.Request(
        f"{url}/v1/messages", json.dumps(body).encode(), {"x-api-key": DEVELOPMENT_KEY}
    )
    with ExitStack() as stack:
        stack.enter_context(command(tmp_path, "gateway", "--port", str(port), **places))
        for name in PARTS:
            stack.enter_context(command(tmp_path, name, **places))
        ready(url, tmp_path)
        with urllib.request.urlopen(asked, timeout=20) as answer:
            assert answer.headers["x-modelmuxer-simulated"] == "true"
            assert json.load(answer)["type"] == "message"

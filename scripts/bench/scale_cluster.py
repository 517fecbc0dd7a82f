"""A cluster on one machine: each part a process of its own, any number of replicas of each.

A replica can be held to a share of a core, as a container is by its CPU limit: otherwise the
first replica takes the whole machine, and what a second one adds cannot be seen.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench.processes import cpu_by_process
from scripts.bench.targets import KEYS, ROOT, VERSION, _answering, _budget, free_port
from tests.support.servers import binary, redis_server, wait_for_port

SERVICES = ("gateway", "router", "pii", "ledger", "analytics")
STORES = ("nats", "redis", "clickhouse")
PERIOD = 100_000  # microseconds, as of a container's limit
START_SECONDS = 60.0
CONFIG = """\
data_dir = "{folder}/data"
nats_url = "nats://127.0.0.1:{nats}"
redis_url = "redis://127.0.0.1:{redis}/0"
clickhouse_url = "{clickhouse}"
secret = "of a benchmark"
[providers.anthropic]
api_key = "sk-ant-bench"
base_url = "http://127.0.0.1:{mock}"
[keys.masked]
key = "{key}"
"""
NATS = """\
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
max_payload: 8MB
jetstream {{ store_dir: "{folder}/jetstream" }}
"""


class Quota:
    """Holds processes to shares of a core by a control group of its own each (Linux, root)."""

    def __init__(self) -> None:
        self._groups: list[Path] = []
        self.works = self.hold(os.getpid(), 0.0)

    def hold(self, pid: int, cores: float) -> bool:
        """0 cores: without a limit. False where control groups cannot be made."""
        for root, file in ((Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us"),
                           (Path("/sys/fs/cgroup"), "cpu.max")):  # fmt: skip
            group = root / f"modelmuxer-bench-{pid}"
            with contextlib.suppress(OSError):
                group.mkdir(exist_ok=True)
                self._groups.append(group)
                share = max(1000, int(cores * PERIOD)) if cores else 0
                none = "max" if file == "cpu.max" else "-1"
                (group / file).write_text(str(share) if share else none)
                if cores:
                    (group / "cgroup.procs").write_text(str(pid))
                return True
        return False

    def close(self) -> None:
        for group in self._groups:
            with contextlib.suppress(OSError):
                group.rmdir()


@dataclass
class Replica:
    service: str
    child: "subprocess.Popen[bytes]"
    port: int = 0


@dataclass
class Cluster:
    folder: Path
    quota: Quota
    config: Path
    monitor: int
    stores: dict[str, int]
    replicas: list[Replica] = field(default_factory=list)
    started: int = 0

    def start(self, service: str) -> Replica:
        """Waits until it is ready."""
        self.started += 1
        port = free_port() if service == "gateway" else 0
        log = self.folder / f"{service}-{self.started}.log"
        argv = [sys.executable, "-m", "services", service, "--config", str(self.config)]
        more = {"MODELMUXER_GATEWAY__PORT": str(port)} if port else {}
        child = spawn(argv, log, **more)
        replica = Replica(service, child, port)
        self.replicas.append(replica)
        deadline = time.monotonic() + START_SECONDS
        while b" is ready" not in log.read_bytes():
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{service} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        return replica

    def limit(self, service: str, cores: float) -> None:
        """Hold each replica to so much of a core; best once all have warmed up."""
        if self.quota.works:
            for replica in self.of(service):
                self.quota.hold(replica.child.pid, cores)

    def stop(self, service: str) -> None:
        for replica in [r for r in self.replicas if r.service == service]:
            end(replica.child)
            self.replicas.remove(replica)

    def answering(self) -> None:
        """Until a whole request passes through each gateway."""
        for gateway in self.of("gateway"):
            _answering(gateway.port, KEYS["on"])
            _budget(gateway.port, KEYS["on"])

    def of(self, service: str) -> list[Replica]:
        return [replica for replica in self.replicas if replica.service == service]

    @property
    def headers(self) -> dict[str, str]:
        return VERSION | {"x-api-key": KEYS["on"]}

    def cpu(self) -> dict[str, float]:
        """Seconds so far, by part."""
        roots = [(r.service, r.child.pid) for r in self.replicas] + list(self.stores.items())
        found: dict[str, float] = {}
        for name, pid in roots:
            found[name] = found.get(name, 0.0) + sum(cpu_by_process([pid]).values())
        return found

    def delivered(self) -> dict[str, dict[int, int]]:
        """Messages that nats-server has handed to each connection, by part and connection."""
        url = f"http://127.0.0.1:{self.monitor}/connz?limit=1024"
        with urllib.request.urlopen(url, timeout=5) as answer:
            connections: list[dict[str, Any]] = json.load(answer)["connections"]
        found: dict[str, dict[int, int]] = {}
        for each in connections:
            found.setdefault(each.get("name", ""), {})[each["cid"]] = each["out_msgs"]
        return found


@contextlib.contextmanager
def cluster(folder: Path, mock: int, clickhouse: str) -> Iterator[Cluster]:
    """The stores, and one replica of each service but for analytics."""
    with contextlib.ExitStack() as stack:
        quota = Quota()
        stack.callback(quota.close)
        stores: dict[str, int] = {}
        nats, monitor = free_port(), free_port()
        file = folder / "nats.conf"
        file.write_text(NATS.format(port=nats, monitor=monitor, folder=folder))
        stores["nats"] = stack.enter_context(store(["-c", str(file)], nats, folder, "nats-server"))
        redis = redis_server(folder / "redis")
        stores["redis"] = stack.enter_context(store(redis.argv, redis.port, folder))
        if not clickhouse:
            port = free_port()
            clickhouse = f"http://127.0.0.1:{port}"
            argv = [sys.executable, "-m", "tests.analytics.http_clickhouse", str(port)]
            argv.append(str(folder / "clickhouse"))
            stores["clickhouse"] = stack.enter_context(store(argv, port, folder))
        config = folder / "modelmuxer.toml"
        places = {"nats": nats, "redis": redis.port, "clickhouse": clickhouse, "mock": mock}
        config.write_text(CONFIG.format(folder=folder, key=KEYS["on"], **places))
        migrate = [sys.executable, "-m", "services", "analytics", "migrate"]
        subprocess.run([*migrate, "--config", str(config)], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL, timeout=120)  # fmt: skip
        made = Cluster(folder, quota, config, monitor, stores)
        try:
            for service in ("ledger", "router", "pii", "gateway"):
                made.start(service)
            made.answering()
            yield made
        finally:
            for service in SERVICES:
                made.stop(service)


@contextlib.contextmanager
def store(argv: list[str], port: int, folder: Path, program: str = "") -> Iterator[int]:
    """A store on its port; yields its process id."""
    argv = [binary(program), *argv] if program else argv
    child = spawn(argv, folder / f"{Path(argv[0]).name}-{port}.log")
    try:
        wait_for_port(port, START_SECONDS)
        yield child.pid
    finally:
        end(child)


def spawn(argv: list[str], log: Path, **environment: str) -> "subprocess.Popen[bytes]":
    keep = {n: os.environ[n] for n in ("PATH", "HOME", "LANG") if n in os.environ}
    with log.open("wb") as out:
        return subprocess.Popen(argv, cwd=ROOT, env=keep | environment, stdout=out, stderr=out)


def end(child: "subprocess.Popen[bytes]", seconds: float = 30.0) -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()

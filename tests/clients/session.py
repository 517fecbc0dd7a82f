"""Run a real client in a clean home against a stack."""

import asyncio
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.installed import CLAUDE_CODE
from tests.support.stack import KEYS, Stack

QUIET = {
    "DISABLE_TELEMETRY": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "IS_SANDBOX": "1",
    "NO_COLOR": "1",
    "CI": "1",
}


@dataclass(frozen=True)
class Ran:
    """How a client ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out[self.out.index("{") :])


async def run(
    argv: list[str], home: Path, seconds: float = 90.0, stdin: str = "", **environment: str
) -> Ran:
    """Run it with nothing of ours in its environment; kill it when the time is up."""
    home.mkdir(parents=True, exist_ok=True)
    work = home / "work"
    work.mkdir(exist_ok=True)
    clean = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    clean |= QUIET | {"HOME": str(home), "TERM": "dumb"} | environment
    start = time.monotonic()
    child = await asyncio.create_subprocess_exec(
        *argv,
        cwd=work,
        env=clean,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(stdin.encode()), seconds)
    except TimeoutError:
        child.kill()
        out, err = await child.communicate()
        err += b"\nkilled: it took too long"
    code = -1 if child.returncode is None else child.returncode
    took = time.monotonic() - start
    return Ran(code, out.decode(errors="replace"), err.decode(errors="replace"), took)


def claude_environment(mux: Stack, key: str = "plain", **more: str) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": mux.url, "ANTHROPIC_API_KEY": KEYS[key]} | more


async def claude(
    mux: Stack,
    home: Path,
    prompt: str,
    *options: str,
    key: str = "plain",
    seconds: float = 90.0,
    **environment: str,
) -> Ran:
    """`claude -p PROMPT`, with tools allowed, answering in JSON."""
    argv = [str(CLAUDE_CODE.path), "-p", prompt, "--output-format", "json"]
    argv += ["--dangerously-skip-permissions", *options]
    return await run(argv, home, seconds, **claude_environment(mux, key, **environment))

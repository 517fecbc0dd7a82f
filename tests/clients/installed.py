"""Real clients, installed once into a folder outside of git: `.clients/` of the repository.

`MODELMUXER_CLIENTS` names another folder. A client that cannot be installed here (no npm, no
registry) is reported with the reason.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("MODELMUXER_CLIENTS") or REPOSITORY / ".clients")
SECONDS = 600


class Missing(Exception):
    """The client cannot be installed here; the reason in one line."""


@dataclass(frozen=True)
class Client:
    """`kind`: npm or pip. `program` is its command (a library without one: a file of it),
    `package` what is installed."""

    name: str
    kind: str
    package: str
    program: str

    @property
    def folder(self) -> Path:
        return FOLDER / self.name

    @property
    def path(self) -> Path:
        inside = "node_modules/.bin" if self.kind == "npm" else "bin"
        if self.program.endswith(".json"):
            inside = "node_modules"
        return self.folder / inside / self.program

    def install(self) -> Path:
        """Its command, installed if need be. Raises Missing."""
        if self.path.exists():
            return self.path
        if self.kind == "npm" and not shutil.which("npm"):
            raise Missing("npm is not installed")
        self.folder.mkdir(parents=True, exist_ok=True)
        for argv in self._commands():
            done = subprocess.run(
                argv, cwd=self.folder, capture_output=True, text=True, timeout=SECONDS
            )
            if done.returncode:
                raise Missing(f"{' '.join(argv[:3])} failed: {_last(done.stderr or done.stdout)}")
        if not self.path.exists():
            raise Missing(f"{self.package} brought no {self.program}")
        return self.path

    def _commands(self) -> list[list[str]]:
        if self.kind == "npm":
            (self.folder / "package.json").write_text('{"private": true}')
            options = ["--no-audit", "--no-fund", "--loglevel=error"]
            return [["npm", "install", *options, self.package]]
        python = str(self.folder / "bin" / "python")
        return [
            [sys.executable, "-m", "venv", str(self.folder)],
            [python, "-m", "pip", "install", "--quiet", self.package],
        ]

    def version(self) -> str:
        """What it says of itself."""
        if self.program in ("python", "anthropic-ai-sdk") or self.program.endswith(".json"):
            return self._library_version()
        done = subprocess.run(
            [str(self.path), "--version"], capture_output=True, text=True, timeout=60
        )
        return _last(done.stdout)

    def _library_version(self) -> str:
        if self.kind == "npm":
            package = self.folder / "node_modules" / self.package.rpartition("@")[0]
            return str(json.loads((package / "package.json").read_text())["version"])
        argv = [str(self.path), "-c", "import anthropic; print(anthropic.__version__)"]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=60)
        return _last(done.stdout)


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"


CLAUDE_CODE = Client("claude-code", "npm", "@anthropic-ai/claude-code@2.1.197", "claude")
TS_SDK = Client("ts-sdk", "npm", "@anthropic-ai/sdk@latest", "anthropic-ai-sdk")
OPENAI_NODE = Client("openai-node", "npm", "openai@latest", "openai/package.json")
OPENCODE = Client("opencode", "npm", "opencode-ai@latest", "opencode")
CLINE = Client("cline", "npm", "cline@latest", "cline")
AIDER = Client("aider", "pip", "aider-chat", "aider")
PYTHON_NEW = Client("py-new", "pip", "anthropic>=2,<3", "python")
PYTHON_OLD = Client("py-old", "pip", "anthropic<1", "python")
ALL = (CLAUDE_CODE, PYTHON_NEW, PYTHON_OLD, TS_SDK, OPENAI_NODE, OPENCODE, AIDER, CLINE)

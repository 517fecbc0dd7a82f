"""`python -m tests.clients`: run every real client, and say which ran.

Installs what is missing, runs the tests of this folder, prints client, version, and ran or
skipped with the reason. Fails if a test fails, or if a client that is installed was skipped.
"""

import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.clients.installed import ALL, Client, Missing

FOLDER = Path(__file__).parent
WORDS = {
    "claude-code": "test_claude_code",
    "opencode": "test_opencode",
    "aider": "test_aider",
    "cline": "test_cline",
    "ts-sdk": "[ts-sdk",
    "openai-node": "[openai-node",
    "py-new": "[py-new]",
    "py-old": "[py-old]",
}


class Report:
    """Outcomes of the tests, by client."""

    def __init__(self) -> None:
        self.outcomes: dict[str, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and not (report.when == "setup" and not report.passed):
            return
        for client, word in WORDS.items():
            if word in report.nodeid:
                self.outcomes[client].append(report.outcome)


def main(arguments: list[str]) -> int:
    state = {client.name: _installed(client) for client in ALL}
    report = Report()
    chosen = arguments or [str(FOLDER)]
    code = int(pytest.main(["-m", "slow", "-q", *chosen], plugins=[report]))
    say(f"\n{'client':<14}{'version':<44}tests")
    for client in ALL:
        version, reason = state[client.name]
        outcomes = report.outcomes[client.name]
        passed = outcomes.count("passed")
        ran = f"ran, {passed} of {len(outcomes)} passed" if outcomes else "not asked for"
        say(f"{client.name:<14}{version:<44}{f'skipped: {reason}' if reason else ran}")
        if not reason and "skipped" in outcomes:
            say(f"{client.name}: installed, but a test was skipped")
            code = code or 1
    return code


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _installed(client: Client) -> tuple[str, str]:
    """Its version, or the reason why it is not here."""
    try:
        client.install()
    except Missing as missing:
        return "", str(missing)
    return client.version(), ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

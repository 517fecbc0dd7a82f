"""The real Claude Code, its agent loop on models that are no Claude."""

from pathlib import Path

import pytest

from tests.clients.installed import CLAUDE_CODE, Missing
from tests.clients.session import claude
from tests.support.stack import Stack
from tests.wire.stand_in import WORDS, StandIn

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


@pytest.fixture(autouse=True, scope="module")
def installed() -> None:
    try:
        CLAUDE_CODE.install()
    except Missing as why:
        pytest.skip(str(why))


@pytest.mark.parametrize(
    "model", ["gpt-6.1-terra", "groq/llama-4", "gemini-3.8-flash", "mistral-medium-3-5"]
)
async def test_an_agent_writes_reads_edits_and_runs(
    mux: Stack, others: StandIn, tmp_path: Path, model: str
) -> None:
    file = tmp_path / "home/work/a.txt"
    edit = {"file_path": str(file), "old_string": "one", "new_string": "two"}
    others.reset(
        ("Write", {"file_path": str(file), "content": "one – grüezi\n"}),
        ("Read", {"file_path": str(file)}),
        ("Edit", edit),
        ("Bash", {"command": f"cat {file}", "description": "Show it"}),
    )
    ran = await claude(mux, tmp_path / "home", "Do it.", "--model", model)
    assert (ran.code, others.refused) == (0, []), ran
    assert ran.json["result"] == WORDS
    assert file.read_text() == "two – grüezi\n"

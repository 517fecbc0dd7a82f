"""Every recorded shape below this folder: what goes out, what comes back, streamed and not.

requests/X.json with DIALECT/X.body.json; DIALECT/X.answer.json and DIALECT/X.sse with
DIALECT/X.message.json or X.streamed.json.
"""

from pathlib import Path

import pytest
from anthropic.types import Message

from tests.wire.walk import (
    HERE,
    MODELS,
    TRANSLATING,
    assemble,
    dialect,
    events,
    load,
    stream,
    translate,
)

REQUESTS = [
    (name, path.stem) for name in TRANSLATING for path in sorted((HERE / "requests").glob("*.json"))
]
ANSWERS = sorted(HERE.glob("*/*.answer.json"))
STREAMS = sorted(HERE.glob("*/*.sse"))


def label(path: Path) -> str:
    return f"{path.parent.name}-{path.name.partition('.')[0]}"


@pytest.mark.parametrize(("name", "case"), REQUESTS)
def test_a_request_becomes_the_recorded_body(name: str, case: str) -> None:
    wanted = load(HERE / name / f"{case}.body.json")
    made = translate(name, load(HERE / "requests" / f"{case}.json"))
    assert made.body == wanted["body"]
    assert made.dropped == wanted["dropped"]


@pytest.mark.parametrize("path", ANSWERS, ids=label)
def test_an_answer_becomes_the_recorded_message(path: Path) -> None:
    name = path.parent.name
    made = dialect(name).from_upstream(load(path), MODELS[name])
    Message.model_validate(made)
    assert made == load(path.with_name(path.name.replace(".answer.", ".message.")))


@pytest.mark.parametrize("path", STREAMS, ids=label)
def test_a_stream_tells_the_recorded_message_wherever_it_is_cut(path: Path) -> None:
    raw, name = path.read_bytes(), path.parent.name
    whole = stream(name, raw)
    assert assemble(events(whole)) == load(path.with_suffix(".streamed.json"))
    assert all(stream(name, raw, size) == whole for size in (1, 2, 3, 7, 64))

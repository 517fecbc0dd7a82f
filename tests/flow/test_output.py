"""What a model itself produces is masked or refused, where the settings say so."""

import json
from typing import Any

import httpx
import pytest

from tests.flow.asks import ask, streamed
from tests.support.provider import Provider, say, think, use
from tests.support.stack import Stack

pytestmark = pytest.mark.anyio
MAIL, MINE = "grace.hopper@navy-yard.io", "ada.lovelace@gmx.net"
ANSWER = f"Write to {MAIL}, or to {{{{user}}}}. " + "And so on. " * 60
OWN = '[pii.keys.masked]\nIBAN = "block"\n[pii.teams.alpha]\nIBAN = "allow"'
MASK = {"more": f'[pii]\noutput = "mask"\n{OWN}'}
BLOCK = {"more": '[pii]\noutput = "block"'}
masking = pytest.mark.parametrize("config", [MASK], indirect=True, scope="module", ids=["mask"])
blocking = pytest.mark.parametrize("config", [BLOCK], indirect=True, scope="module", ids=["block"])
off = pytest.mark.parametrize("config", [{}], indirect=True, scope="module", ids=["off"])


@pytest.fixture(scope="module")
def config(request: pytest.FixtureRequest) -> dict[str, str]:
    chosen: dict[str, str] = request.param
    return chosen


async def post(mux: Stack, path: str, body: dict[str, Any], key: str = "masked") -> httpx.Response:
    async with mux.http(key) as http:
        return await http.post(path, json=body)


def deltas(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line).get("delta") or {} for line in lines]


@off
async def test_a_models_own_words_pass_unless_told_otherwise(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say(ANSWER))
    answer = await post(mux, "/v1/messages", streamed())
    assert answer.content == provider.last.sent


@masking
async def test_a_streams_own_values_are_masked_and_the_requests_return(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say(ANSWER, deltas=90))
    answer = await post(mux, "/v1/messages", streamed(f"Mail {MINE}"))
    text = "".join(delta.get("text", "") for delta in deltas(answer))
    assert MAIL not in answer.text and text.startswith("Write to PII_EMAIL_") and MINE in text
    assert text.endswith("And so on. ") and text.count("And so on.") == 60
    assert b"message_stop" in answer.content and MINE.encode() not in provider.last.body
    assert (await mux.rows(1))[-1].pii == {"EMAIL": 2}


@masking
async def test_a_whole_answers_own_values_are_masked_and_the_requests_return(
    mux: Stack, provider: Provider
) -> None:
    provider.script(use("Send", {"to": MAIL, "cc": "{{user}}"}, f"To {MAIL}."))
    answer = await post(mux, "/v1/messages", ask(f"Mail {MINE}"))
    text, call = answer.json()["content"]
    assert text["text"].startswith("To PII_EMAIL_") and call["input"]["to"] == text["text"][3:-1]
    assert MINE in call["input"]["cc"] and answer.headers["x-modelmuxer-pii"] == "EMAIL=2"


@masking
async def test_a_streamed_tool_input_is_masked_and_stays_json(
    mux: Stack, provider: Provider
) -> None:
    content = f'DB_PASSWORD="Tr0ub4dor!x9"\nMAIL={MAIL}\n' + 'print("ü")\n' * 50
    provider.script(use("Write", {"file_path": "/x", "content": content}, deltas=40))
    answer = await post(mux, "/v1/messages", streamed())
    written = json.loads("".join(delta.get("partial_json", "") for delta in deltas(answer)))
    assert MAIL not in written["content"] and "Tr0ub4dor" not in written["content"]
    assert written["content"].endswith('print("ü")\n' * 50) and written["file_path"] == "/x"


@masking
async def test_thinking_keeps_the_bytes_that_were_signed(mux: Stack, provider: Provider) -> None:
    provider.script(think(f"I know {MAIL}.", "I do not say."))
    answer = await post(mux, "/v1/messages", streamed())
    assert "".join(d.get("thinking", "") for d in deltas(answer)) == f"I know {MAIL}."


@masking
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_openai_clients_get_masked_answers_too(
    mux: Stack, provider: Provider, path: str, stream: bool
) -> None:
    provider.script(say(ANSWER, deltas=50))
    words = {"input": "Hi"} if "responses" in path else {"messages": ask()["messages"]}
    answer = await post(mux, path, {"model": "claude-sonnet-5-5", "stream": stream, **words})
    assert answer.status_code == 200
    assert "PII_EMAIL_" in answer.text and MAIL not in answer.text


async def batch_results(mux: Stack, *texts: str, key: str = "masked") -> list[dict[str, Any]]:
    """What a batch of these texts comes to, line by line."""
    requests = [{"custom_id": f"r{n}", "params": ask(text)} for n, text in enumerate(texts)]
    async with mux.http(key) as http:
        made = (await http.post("/v1/messages/batches", json={"requests": requests})).json()
        answer = await http.get(f"/v1/messages/batches/{made['id']}/results")
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@masking
async def test_the_results_of_a_batch_are_masked_and_its_own_values_return(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say(f"To {MAIL}: {{{{user}}}}")
    first, second = await batch_results(mux, f"Mail {MINE}", "Hi")
    text = first["result"]["message"]["content"][0]["text"]
    assert text.startswith("To PII_EMAIL_") and MINE in text
    assert MAIL not in json.dumps([first, second]) and second["result"]["type"] == "succeeded"


@masking
async def test_the_results_of_a_key_without_masking_are_the_providers(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say(f"To {MAIL}")
    (only,) = await batch_results(mux, "Hi", key="plain")
    assert only["result"]["message"]["content"][0]["text"] == f"To {MAIL}"


@blocking
async def test_a_result_with_a_value_is_an_errored_one_beside_the_others(
    mux: Stack, provider: Provider
) -> None:
    provider.always = say("Said: {{user}}")
    clean, refused = await batch_results(mux, "Hi", "nothing yet")
    assert (clean["result"]["type"], refused["result"]["type"]) == ("succeeded", "succeeded")
    provider.always = say(f"To {MAIL}")
    (line,) = await batch_results(mux, "Hi")
    error = line["result"]["error"]
    assert (line["custom_id"], line["result"]["type"], error["type"]) == ("r0", "errored", "error")
    assert error["error"]["type"] == "invalid_request_error" and MAIL not in json.dumps(line)
    assert "EMAIL" in error["error"]["message"]


@masking
async def test_a_key_has_a_policy_of_its_own(mux: Stack, provider: Provider) -> None:
    answer = await post(mux, "/v1/messages", ask("Pay to GB33BUKB20201555555555, please"))
    assert answer.status_code == 400 and "IBAN" in answer.json()["error"]["message"]
    assert "GB33" not in answer.text and not provider.calls


@masking
async def test_a_key_without_masking_gets_answers_as_they_are(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say(ANSWER))
    answer = await post(mux, "/v1/messages", streamed(), key="plain")
    assert answer.content == provider.last.sent


@blocking
async def test_a_whole_answer_with_a_value_is_refused_and_booked(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say(f"Write to {MAIL}."))
    answer = await post(mux, "/v1/messages", ask())
    error = answer.json()["error"]
    assert answer.status_code == 400 and error["type"] == "invalid_request_error"
    assert "EMAIL" in error["message"] and MAIL not in answer.text
    row = (await mux.rows(1))[-1]
    assert (row.outcome, row.error, row.cost) == ("cancelled", "pii_blocked", provider.bill.total)


@blocking
async def test_a_stream_with_a_value_ends_with_one_error_event(
    mux: Stack, provider: Provider
) -> None:
    provider.script(say("Fine so far. " * 30 + f"Write to {MAIL}. " + "More. " * 90, deltas=60))
    answer = await post(mux, "/v1/messages", streamed())
    assert answer.status_code == 200 and "Fine so far." in answer.text
    assert answer.text.count("event: error") == 1 and answer.text.endswith("\n\n")
    last = json.loads(answer.text.strip().splitlines()[-1][6:])
    assert last["error"]["type"] == "invalid_request_error" and "EMAIL" in last["error"]["message"]
    assert MAIL not in answer.text and "More." not in answer.text


@blocking
async def test_an_answer_without_a_value_is_complete(mux: Stack, provider: Provider) -> None:
    provider.script(say("Nothing to hide. " * 40, deltas=30))
    answer = await post(mux, "/v1/messages", streamed())
    text = "".join(delta.get("text", "") for delta in deltas(answer))
    assert text == "Nothing to hide. " * 40 and b"message_stop" in answer.content

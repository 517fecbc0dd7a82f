"""Everything in the user's guide works against a fresh product, or is explained."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.guide import promises
from tests.guide.promises import BEARER, KEY, MESSAGE, MODELS, READS
from tests.support.product import ADMIN_KEY, Product, clean_environment, started

ROOT = Path(__file__).parents[2]
DIFFERENCES = (ROOT / "docs" / "guide-differences.md").read_text()


@pytest.fixture(scope="module")
def http(product: Product) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=product.url, timeout=30) as client:
        yield client


@pytest.mark.parametrize(("path", "headers", "name"), READS, ids=[path for path, _, _ in READS])
def test_what_it_reads(path: str, headers: dict[str, str], name: str, http: httpx.Client) -> None:
    answer = http.get(path, headers=headers)
    assert answer.status_code == 200, answer.text
    assert not name or name in answer.json()


@pytest.mark.parametrize("path", ["/v1/messages", "/messages"])
def test_both_message_paths_answer_in_its_form(path: str, http: httpx.Client) -> None:
    answer = http.post(path, headers=BEARER, json=MESSAGE).json()
    assert answer["id"].startswith("msg_") and (answer["type"], answer["role"]) == (
        "message",
        "assistant",
    )
    assert answer["content"][0]["type"] == "text" and answer["content"][0]["text"]
    assert answer["stop_reason"] == "end_turn" and isinstance(answer["model"], str)
    assert answer["usage"]["input_tokens"] > 0 and answer["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("model", MODELS)
def test_every_model_it_names_answers(model: str, http: httpx.Client) -> None:
    answer = http.post("/v1/messages", headers=BEARER, json=MESSAGE | {"model": model})
    assert answer.status_code == 200, answer.text


def test_its_prompts_are_routed_apart_and_say_why(http: httpx.Client) -> None:
    served = {}
    for prompt, kind in promises.PROMPTS.items():
        body = MESSAGE | {"messages": [{"role": "user", "content": prompt}]}
        headers = http.post("/v1/messages", headers=BEARER, json=body).headers
        served[kind] = headers["x-modelmuxer-model"]
        assert headers["x-modelmuxer-reason"] and 0 < float(headers["x-modelmuxer-confidence"]) <= 1
    assert len(set(served.values())) >= 2 and served["simple"] != served["code"]


def test_its_budget_can_be_set_and_read(http: httpx.Client) -> None:
    made = http.post("/v1/analytics/budgets", headers=BEARER, json=promises.BUDGET)
    assert made.status_code == 200, made.text
    found = http.get("/v1/analytics/budgets", headers=BEARER).json()["budgets"]
    daily = next(budget for budget in found if budget["budget_type"] == "daily")
    assert float(daily["limit"]) == 5.0 and daily["alert_thresholds"] == [50.0, 80.0, 95.0]


def test_both_forms_of_the_key_work(http: httpx.Client) -> None:
    for headers in (BEARER, {"x-api-key": KEY}, BEARER | {"x-api-key": KEY}):
        assert http.get("/v1/models", headers=headers).status_code == 200
    refused = http.get("/v1/models", headers={"authorization": "Bearer wrong"})
    assert refused.status_code == 401 and refused.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("script", promises.SCRIPTS)
def test_its_scripts_are_there(script: str) -> None:
    assert (ROOT / script).is_file()


@pytest.mark.parametrize("words", promises.COMMAND_LINES, ids=" ".join)
def test_its_command_lines_answer(words: tuple[str, ...], product: Product, tmp_path: Path) -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "claude-cli.py"), *words]
    env = clean_environment(ANTHROPIC_BASE_URL=product.url, ANTHROPIC_API_KEY=KEY)
    done = subprocess.run(argv, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


def test_the_container_has_its_name() -> None:
    assert "container_name: modelmuxer-app" in (ROOT / "docker-compose.yml").read_text()


@pytest.mark.parametrize("name", promises.REPLACED)
def test_what_is_no_longer_so_is_explained(name: str) -> None:
    assert name in DIFFERENCES


def test_the_client_that_reads_each_variable_is_named() -> None:
    page = (ROOT / "docs" / "sdks.md").read_text()
    table = page.partition("## Which client reads which name")[2].partition("\n## ")[0]
    assert all(f"`{name}`" in table for name in promises.VARIABLES)


@pytest.mark.slow
def test_debug_mode_says_more_and_never_the_prompt(tmp_path: Path) -> None:
    secret = "wombats in the moonlight"
    with started(tmp_path, {"MODELMUXER_DEBUG": "true"}) as loud:
        body = MESSAGE | {"messages": [{"role": "user", "content": secret}]}
        assert httpx.post(f"{loud.url}/v1/messages", headers=BEARER, json=body).status_code == 200
        time.sleep(0.3)
        assert " D " in loud.log and secret not in loud.log and "claude-3-5-sonnet" in loud.log


def sample(page: str, heading: str) -> str:
    """The first Python block below a heading."""
    text = (ROOT / "docs" / page).read_text().partition(f"\n## {heading}\n")[2]
    found = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_the_streaming_sample_shows_pieces_as_they_arrive(product: Product) -> None:
    code = sample("sdks.md", "Streaming with httpx").replace("http://localhost:8000", product.url)
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], stdout=subprocess.PIPE, env=clean_environment()
    )
    assert process.stdout
    arrived = []
    while piece := os.read(process.stdout.fileno(), 65536):
        arrived.append((time.monotonic(), piece))
    process.stdout.close()
    assert process.wait(10) == 0 and len(arrived) >= 5, arrived
    assert arrived[-1][0] - arrived[0][0] > 0.05, "they came apart"


@pytest.mark.slow
@pytest.mark.parametrize("page", ["sdks.md", "openai-clients.md"])
def test_python_samples_run(page: str, product: Product) -> None:
    text = (ROOT / "docs" / page).read_text()
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert code
    for block in code:
        argv = [sys.executable, "-c", block.replace("http://localhost:8000", product.url)]
        done = subprocess.run(argv, capture_output=True, text=True, env=clean_environment())
        assert done.returncode == 0, done.stderr[-500:]


def test_the_port_check_finds_the_holder(product: Product) -> None:
    if not shutil.which("ss"):
        pytest.skip("ss is not installed")
    argv = ["ss", "-ltn", f"sport = :{product.port}"]
    assert f":{product.port}" in subprocess.run(argv, capture_output=True, text=True).stdout


def test_the_four_steps_of_the_development_workflow(
    product: Product, tmp_path: Path, http: httpx.Client
) -> None:
    """Start (the product runs), configure the editor, ask for code, watch the costs."""
    env = clean_environment(HOME=str(tmp_path), MODELMUXER_URL=product.url, MODELMUXER_KEY=KEY)
    argv = [sys.executable, "-P", "-m", "services"]
    subprocess.run([*argv, "connect", "cline"], env=env, check=True, capture_output=True)
    file = tmp_path / ".cline" / "data" / "settings" / "providers.json"
    cline = json.loads(file.read_text())["providers"]["anthropic"]["settings"]
    ask = {"model": cline["model"], "max_tokens": 500, "stream": True}
    turn = {"role": "user", "content": "Write a Python function to calculate fibonacci"}
    headers = {"x-api-key": cline["apiKey"], "x-modelmuxer-run-id": "workflow"}
    answer = httpx.post(
        f"{cline['baseUrl']}/messages", headers=headers, json=ask | {"messages": [turn]}
    )
    assert "event: message_stop" in answer.text and "code" in answer.headers["x-modelmuxer-reason"]
    assert _cost_of_run(http, "workflow") > 0
    subprocess.run([*argv, "disconnect", "cline"], env=env, check=True, capture_output=True)
    assert not file.exists()


def test_the_team_workflow(product: Product) -> None:
    """The commands as the page has them, by an administrator."""
    block = DIFFERENCES.partition("## The team workflow")[2].partition("```sh\n")[2]
    lines = block.partition("```")[0].splitlines()
    assert len(lines) == 4
    env = clean_environment(MODELMUXER_URL=product.url, MODELMUXER_KEY=ADMIN_KEY)
    for line in lines:
        argv = [sys.executable, "-P", "-m", "services", *line.split()[1:]]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and done.stdout.strip(), f"{line}: {done.stderr}"


def _cost_of_run(http: httpx.Client, run: str, seconds: float = 10) -> float:
    deadline, cost = time.monotonic() + seconds, 0.0
    while not cost and time.monotonic() < deadline:
        found = http.get("/v1/analytics/costs?days=2&group_by=run", headers=BEARER).json()
        cost = float(found["by_run"].get(run, 0))
        time.sleep(0.1)
    return cost

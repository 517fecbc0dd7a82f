"""Doctor finds nothing wrong with a healthy product, and names the fault of a broken one."""

import json
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from tests.cli.proxy import Passing, Spoil, Website, proxy, serving
from tests.support.product import ADMIN_KEY, Product
from tests.support.servers import free_port

Run = Callable[..., int]
Doctor = Callable[..., tuple[int, dict[str, dict[str, str]]]]


@pytest.fixture
def doctor(mux: Run, capsys: pytest.CaptureFixture[str]) -> Doctor:
    """Run it with `--json`; returns the exit code and the findings by check."""

    def run(*words: str) -> tuple[int, dict[str, dict[str, str]]]:
        code = mux("doctor", "--json", *words)
        report = json.loads(capsys.readouterr().out)
        assert report["ok"] == (code == 0)
        return code, {found["check"]: found for found in report["checks"]}

    return run


def failed(findings: dict[str, dict[str, str]]) -> list[str]:
    return [name for name, found in findings.items() if found["state"] == "failed"]


def test_a_healthy_product_has_no_fault(product: Product, doctor: Doctor) -> None:
    code, findings = doctor("--url", product.url)
    assert (code, failed(findings)) == (0, [])
    states = {name: found["state"] for name, found in findings.items()}
    assert states.pop("providers") == "warning"
    assert set(states.values()) == {"ok"}, findings
    assert "first text after" in findings["answer"]["reason"]


def test_without_models_it_costs_nothing(product: Product, doctor: Doctor) -> None:
    code, findings = doctor("--url", product.url, "--free")
    assert code == 0
    assert findings["answer"]["state"] == findings["betas"]["state"] == "skipped"


def test_people_read_marks_reasons_and_fixes(
    product: Product, mux: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert mux("doctor", "--url", product.url, "--key", "wrong") == 1
    said = capsys.readouterr().out
    assert "✓ connection" in said and "✗ key" in said and "→ set ANTHROPIC_AUTH_TOKEN" in said
    assert said.endswith("to mend: key\n")


def test_nothing_listens(doctor: Doctor) -> None:
    code, findings = doctor("--url", f"http://127.0.0.1:{free_port()}")
    assert (code, failed(findings)) == (1, ["connection"])
    assert "nothing listens" in findings["connection"]["reason"]
    assert "modelmuxer up" in findings["connection"]["fix"]


def test_something_else_listens(doctor: Doctor) -> None:
    with serving(Website) as url:
        _, findings = doctor("--url", url)
    assert "is a web page, not ModelMuxer" in findings["connection"]["reason"]


def test_an_address_that_ends_in_v1(product: Product, doctor: Doctor) -> None:
    _, findings = doctor("--url", f"{product.url}/v1")
    assert findings["connection"]["fix"] == f"use {product.url}"


def test_https_where_there_is_none(product: Product, doctor: Doctor) -> None:
    _, findings = doctor("--url", product.url.replace("http:", "https:"))
    assert "no TLS there" in findings["connection"]["reason"]
    assert findings["connection"]["fix"] == f"use {product.url}"


def test_a_wrong_key(product: Product, doctor: Doctor) -> None:
    code, findings = doctor("--url", product.url, "--key", "sk-mm-wrong")
    assert (code, failed(findings)) == (1, ["key"])
    assert findings["answer"] == {
        "check": "answer",
        "state": "skipped",
        "reason": "needs key",
        "fix": "",
    }


def test_a_model_that_does_not_exist(product: Product, doctor: Doctor) -> None:
    _, findings = doctor("--url", product.url, "--model", "gpt-99")
    assert {"answer", "betas"} <= set(failed(findings))
    assert "gpt-99" in findings["answer"]["reason"] and "--model" in findings["answer"]["fix"]


def call(product: Product, path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"x-api-key": ADMIN_KEY, "content-type": "application/json"}
    url = f"{product.url}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


def test_a_budget_that_is_used_up(product: Product, doctor: Doctor) -> None:
    made = call(product, "/v1/admin/keys", {"name": "poor"})
    budget = {"budget_type": "daily", "budget_limit": 0.000001}
    scope = {"scope": "key", "scope_id": made["key"]["id"], "clamp": False}
    call(product, "/v1/analytics/budgets", budget | scope)
    code, findings = doctor("--url", product.url, "--key", made["secret"])
    assert code == 1
    assert findings["answer"]["reason"].startswith("402") and "budget" in findings["answer"]["fix"]


def redirect(passing: Passing) -> None:
    passing.status, passing.headers["location"] = 301, "https://elsewhere.example/"


def no_head(passing: Passing) -> None:
    if passing.method == "HEAD":
        passing.status = 405


def old_clock(passing: Passing) -> None:
    passing.headers["date"] = "Mon, 01 Jan 2024 00:00:00 GMT"


def no_retry_advice(passing: Passing) -> None:
    passing.headers.pop("x-should-retry", None)


def own_error_pages(passing: Passing) -> None:
    if passing.status >= 400:
        passing.headers["content-type"] = "text/html"
        passing.body = b"<h1>Sorry</h1>"


def no_count(passing: Passing) -> None:
    if "count_tokens" in passing.path:
        passing.status, passing.body = 404, b"nope"


def cut_streams(passing: Passing) -> None:
    passing.body = passing.body.partition(b"event: message_delta")[0]


def buffer(passing: Passing) -> None:
    """The proxy buffers by itself: nothing more to spoil."""


def overloaded(passing: Passing) -> None:
    if passing.path.startswith("/v1/messages?beta"):
        passing.status, passing.body = 400, b'{"error":{"message":"invalid beta flag"}}'


BROKEN: list[tuple[Spoil, str, str]] = [
    (redirect, "connection", "redirected to https://elsewhere.example/"),
    (no_head, "head", "HEAD / answers 405"),
    (old_clock, "clock", "s behind"),
    (no_retry_advice, "errors", "x-should-retry is lost"),
    (own_error_pages, "errors", "<h1>Sorry</h1>"),
    (no_count, "count_tokens", "404"),
    (cut_streams, "answer", "incomplete stream"),
    (buffer, "answer", "came at once"),
    (overloaded, "betas", "invalid beta flag"),
]


@pytest.mark.parametrize(
    ("spoil", "check", "reason"), BROKEN, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_proxy_that_spoils_something(
    spoil: Spoil, check: str, reason: str, product: Product, doctor: Doctor
) -> None:
    with proxy(product.port, spoil) as url:
        code, findings = doctor("--url", url)
    assert code == 1 and check in failed(findings)
    assert set(failed(findings)) <= {check, "answer"}, "only the spoilt, and the buffering"
    assert reason in findings[check]["reason"] and findings[check]["fix"]


def test_variables_that_lead_elsewhere(
    product: Product, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f"{product.url}/v1")
    monkeypatch.setenv("ANTHROPIC_API_URL", "https://api.anthropic.com")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "b")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    code, findings = doctor("--url", product.url, "--key", product.key, "--free")
    said = findings["environment"]
    assert (code, said["state"]) == (0, "warning")
    for words in ("ends in /v1", "leads elsewhere", "differ", "NO_PROXY"):
        assert words in said["reason"]


def test_the_environment_says_where_to_look(
    product: Product, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_URL", product.url)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-wrong")
    _, findings = doctor()
    assert product.url in findings["connection"]["reason"] and failed(findings) == ["key"]

"""The web page in a real Chromium, against the whole product."""

import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers import Server
from tests.support.stack import KEYS, REPOSITORY, Stack, stack

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH"),
]
PICTURES = REPOSITORY / "docs" / "pictures"


@asynccontextmanager
async def browsing(place: Stack, **options: Any) -> AsyncIterator[Any]:
    """A page whose console and network must stay free of errors."""
    async with playwright.async_playwright() as play:
        chromium = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = await chromium.new_context(locale="en-US", timezone_id="Europe/Berlin", **options)
        page = await context.new_page()
        faults: list[str] = []
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.set_default_timeout(10_000)
        await page.goto(f"{place.url}/dashboard")
        yield page
        assert [fault for fault in faults if "401" not in fault] == []
        await chromium.close()


@pytest.fixture
async def place(tmp_path: Path, nats: Server, redis: Server) -> AsyncIterator[Stack]:
    async with stack(tmp_path, nats, redis, analytics=True) as opened:
        yield opened


async def log_in(page: Any, key: str = "admin") -> None:
    await page.get_by_label("API key").fill(KEYS[key])
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="Today").wait_for()
    await page.get_by_text("live", exact=True).wait_for()


async def ask(place: Stack, key: str = "plain", words: str = "Hello!", model: str = "") -> None:
    async with place.http(key) as http:
        message = {"role": "user", "content": words}
        body = {"model": model or "claude-sonnet-5", "max_tokens": 64, "messages": [message]}
        assert (await http.post("/v1/messages", json=body)).status_code == 200


async def busy(place: Stack) -> None:
    """What a picture of the page should show."""
    budget = {"budget_type": "daily", "budget_limit": 0.05, "alert_thresholds": [50, 80, 95]}
    async with place.http("admin") as http:
        assert (await http.post("/v1/analytics/budgets", json=budget)).status_code == 200
    await ask(place, "auto", "What is the capital of France?", "modelmuxer-auto")
    await ask(place, "auto", "Write a Python function to calculate fibonacci", "modelmuxer-auto")
    await ask(place, "auto", "Analyze the performance implications of microservices", "opus")
    await ask(place, "masked", "Write to anna.smith@acme-travel.de about the meeting")
    await ask(place, "admin", "Summarize our plan", "claude-opus-5")


async def test_a_request_appears_within_two_seconds(place: Stack) -> None:
    async with browsing(place) as page:
        await log_in(page)
        started = time.monotonic()
        await ask(place)
        row = page.locator("#live tbody tr", has_text="claude-sonnet-5")
        await row.wait_for()
        assert time.monotonic() - started < 2
        assert "ada" in await row.inner_text()
        await page.locator("#today-requests", has_text="1").wait_for()
        await page.get_by_label("Filter").fill("nobody has this")
        await page.get_by_text("no request yet").wait_for()


async def test_a_wrong_key_does_not_log_in_and_a_session_ends(place: Stack) -> None:
    async with browsing(place) as page:
        await page.get_by_label("API key").fill("sk-wrong")
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_text("not known here").wait_for()
        await log_in(page)
        await page.reload()
        await page.get_by_role("heading", name="Today").wait_for()
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_label("API key").wait_for()
        await page.reload()
        await page.get_by_label("API key").wait_for()


async def test_a_budget_is_set_shown_and_raised(place: Stack) -> None:
    async with browsing(place) as page:
        await log_in(page)
        await page.get_by_label("Limit in USD").fill("5")
        await page.get_by_role("button", name="Set budget").click()
        item = page.locator("#budgets li", has_text="daily")
        await item.get_by_text("$0.00 of $5.00").wait_for()
        await ask(place, "admin")
        await item.get_by_text("$0.00 of").wait_for(state="detached", timeout=20_000)
        await item.get_by_label("New limit").fill("7.5")
        await item.get_by_role("button", name="Change").click()
        await item.get_by_text("of $7.50").wait_for()
        await item.get_by_role("button", name="Remove").click()
        await page.get_by_text("No budget yet").wait_for()


async def test_savings_are_drawn_and_said_in_figures(place: Stack) -> None:
    await ask(place, "auto", "What is the capital of France?", "modelmuxer-auto")
    await place.booked(place.provider.bill.total)
    async with place.http("admin") as http:
        saved = (await http.get("/v1/analytics/savings")).json()["series"][-1]["saved_so_far"]
    async with browsing(place) as page:
        await log_in(page)
        await page.locator("#saved-chart canvas").wait_for()
        row = page.locator("#per-day tbody tr").first
        await row.wait_for()
        shown = await row.locator("td").last.inner_text()
    assert float(saved) > 0 and float(shown.lstrip("$")) == pytest.approx(float(saved), rel=0.1)


async def test_a_key_is_created_shown_once_and_works(place: Stack) -> None:
    async with browsing(place) as page:
        await log_in(page)
        await page.locator("#key-name").fill("editor")
        await page.get_by_role("button", name="Create key").click()
        await page.locator("#secret-text").wait_for()
        secret = await page.locator("#secret-text").inner_text()
        async with place.http(**{"x-api-key": secret}) as http:
            assert (await http.get("/v1/models")).status_code == 200
        row = page.locator("#keys tbody tr", has_text="editor")
        await row.get_by_role("button", name="Revoke").click()
        await row.get_by_role("button", name="Revoke").click()
        await row.get_by_text("revoked").wait_for()


async def test_a_member_sees_its_own_and_no_keys(place: Stack) -> None:
    await ask(place, "plain")
    await ask(place, "masked")
    await place.booked(0, seconds=2)
    async with browsing(place) as page:
        await log_in(page, "plain")
        assert await page.locator("#live tbody tr").count() == 1
        assert not await page.get_by_role("heading", name="Keys").is_visible()


async def test_the_page_is_fit_for_all(place: Stack) -> None:
    axe = pytest.importorskip("axe_playwright_python.async_playwright", reason="no axe-core").Axe()
    await busy(place)
    async with browsing(place, viewport={"width": 1280, "height": 900}) as page:
        await log_in(page)
        for theme in ("light", "dark"):
            if await page.evaluate("document.documentElement.dataset.theme") != theme:
                await page.get_by_role("button", name=theme.title(), exact=True).click()
            await page.wait_for_timeout(1500)
            found = await axe.run(page)
            serious = [
                v for v in found.response["violations"] if v["impact"] in ("serious", "critical")
            ]
            assert serious == []
            PICTURES.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=PICTURES / f"dashboard-{theme}.png", full_page=True)


async def test_the_page_fits_a_telephone_and_a_keyboard(place: Stack) -> None:
    async with browsing(place, viewport={"width": 360, "height": 740}) as page:
        await page.locator("#key:focus").wait_for()
        await page.keyboard.type(KEYS["admin"])
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="Today").wait_for()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        seen = set()
        for _ in range(40):
            await page.keyboard.press("Tab")
            seen.add(
                await page.evaluate(
                    "document.activeElement.id || document.activeElement.textContent"
                )
            )
        assert {"pause", "days", "limit", "key-name"} <= seen
        await page.locator("#limit").focus()
        await page.keyboard.type("3")
        await page.keyboard.press("Enter")
        await page.locator("#budgets li", has_text="of $3.00").wait_for()

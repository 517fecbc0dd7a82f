"""The part of the web page that compares a scorer on trial with the current one."""

from pathlib import Path

import pytest

from tests.dashboard.test_browser import CHROMIUM, ask, browsing, log_in
from tests.support.servers import Server
from tests.support.stack import REPOSITORY, stack

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium on PATH"),
]
TRIAL = f'[routing.trial]\nscorer = "{REPOSITORY}/services/router/scorer.npz"\nshare = 1.0\n'


@pytest.mark.parametrize("more, shown", [(TRIAL, True), ("", False)])
async def test_a_trial_is_shown_where_there_is_one(
    tmp_path: Path, nats: Server, redis: Server, more: str, shown: bool
) -> None:
    async with stack(tmp_path, nats, redis, analytics=True, more=more) as place:
        await ask(place, "auto", "What is the capital of France?")
        assert await place.booked(place.provider.bill.total) > 0
        async with browsing(place) as page:
            await log_in(page)
            await page.locator("#per-day tbody tr", has_text="$").first.wait_for()
            assert await page.locator("#trials-box").is_visible() == shown
            if shown:
                assert "on trial" in await page.locator("#trials tbody").inner_text()

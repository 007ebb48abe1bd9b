"""The chat page of real hosts, in Chromium: whoever is logged in asks, and sees the answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.hosts import running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize(
    "name", ["starlette-uvicorn", "django-uvicorn", "django-gthread", "flask-gthread"]
)
def test_the_chat_page_answers(browser: Browser, name: str, tmp_path: Path) -> None:
    """Its script passes the host's own check: Django's token, or the same origin, with cookies in the jar."""
    with running(name, tmp_path) as host:
        context = browser.new_context(base_url=host.url, extra_http_headers=host.user)
        context.add_cookies([{"name": "session", "value": "", "url": host.url}])
        page = context.new_page()
        page.goto("/llm/")
        page.fill("#prompt", "Say hi")
        page.press("#prompt", "Enter")
        page.locator('[data-role="assistant"][data-state="done"]').wait_for(timeout=20_000)
        context.close()
        assert [row["status"] for row in host.rows()] == ["finished"]

"""The list of calls in Django's admin, in Chromium."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import django.contrib.admin
import pytest
from django.contrib.auth import get_user_model

import llmkit_django
from llmkit_django.models import UsageRecord

if TYPE_CHECKING:
    from django.test import Client
    from playwright.sync_api import Route

_STATIC = [Path(app.__file__).with_name("static") for app in (django.contrib.admin, llmkit_django)]


WIDTHS = (1100, 1300, 1400, 1600)


def cut_off(html: str, folder: Path) -> list[int]:
    """Show a page of the admin in windows of several widths; return those in which its table has no room."""
    from playwright.sync_api import sync_playwright

    def serve(route: Route) -> None:
        path = urlsplit(route.request.url).path
        if path.startswith("/static/"):
            files = [folder / path.removeprefix("/static/") for folder in _STATIC]
            route.fulfill(path=next(file for file in files if file.exists()))
        else:
            route.fulfill(body=html, content_type="text/html; charset=utf-8")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.route("**/*", serve)
        page.goto("http://admin.test/admin/")
        found = []
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 700})
            page.screenshot(path=folder / f"{width}.png")
            if page.locator(".results").evaluate("(it) => it.scrollWidth > it.clientWidth"):
                found.append(width)
        browser.close()
        return found


def test_the_list_fits_a_small_screen(admin_client: Client, tmp_path: Path) -> None:
    """At 1100 pixels and more, with the admin's own bars on both sides, no column is cut off."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if shutil.which("chromium") is None:
        pytest.skip("there is no chromium on the PATH")
    user = get_user_model().objects.create_user("ann.longname")
    row: dict[str, Any] = {"attempt": 1, "alias": "default", "streamed": True, "worker": "test"}
    for number, status in enumerate(("finished", "truncated", "cancelled")):
        UsageRecord.objects.create(
            call_id=f"call-{number}",
            status=status,
            provider="anthropic",
            model="claude-sonnet-4-5-20250929",
            user=user,
            user_key=str(user.pk),
            started_at=datetime(2026, 11, 12, 13, 14, 15, tzinfo=UTC),
            input_tokens=123_456,
            output_tokens=4096,
            input_source="reported",
            output_source="reported",
            cost_usd=Decimal("12.345678901"),
            **row,
        )
    html = admin_client.get("/admin/llmkit/usagerecord/").content.decode()
    # In a thread of its own: playwright's has a running event loop, in which Django does not ask the database.
    with ThreadPoolExecutor(1) as thread:
        found = thread.submit(cut_off, html, tmp_path).result()
    assert found == []

"""Chromium for the tests of what runs in a browser, and a host app that they script."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.scripted_host import PATIENCE, ScriptedHost

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize

_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Playwright turns this cache off; users have it on, and it keeps left pages and their connections alive.
_NOT_WANTED = ["--disable-back-forward-cache"]
_VIEWPORT: ViewportSize = {"width": 900, "height": 700}
_FILES = {
    "/blank": ("text/html", b"<!doctype html><title>blank</title>"),
    **{
        f"/{name}": ("text/javascript", Path(__file__).with_name(name).read_bytes())
        for name in ("replay.js", "render.js")
    },
}


# For a module, not the session: while it lives, the thread has a running event loop and async tests cannot have theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, or skip and say what is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("there is no chromium on the PATH")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=_FLAGS, ignore_default_args=_NOT_WANTED
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def _host() -> Iterator[ScriptedHost]:
    with ScriptedHost(_FILES) as host:
        yield host


@pytest.fixture
def host(_host: ScriptedHost) -> Iterator[ScriptedHost]:
    """Serve a host app whose answers the test writes."""
    yield _host
    _host.forget()


@pytest.fixture(scope="module")
def _tab(browser: Browser, _host: ScriptedHost) -> Iterator[tuple[Page, list[str]]]:
    faults: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        # Chromium says so of every status from 400 on.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            faults.append(message.text)

    context = browser.new_context(base_url=_host.url, viewport=_VIEWPORT)
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    page.on("console", on_console)
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page, faults
    context.close()


@pytest.fixture
def page(_tab: tuple[Page, list[str]], host: ScriptedHost) -> Iterator[Page]:
    """Give a tab: one for all tests of a module, since a new one takes half a second.

    The test fails if a script in it fails or is refused.
    """
    page, faults = _tab
    yield page
    page.goto("/blank")
    page.evaluate("sessionStorage.clear()")
    page.context.clear_cookies()
    if page.viewport_size != _VIEWPORT:
        page.set_viewport_size(_VIEWPORT)
    found = faults.copy()
    faults.clear()
    assert found == []

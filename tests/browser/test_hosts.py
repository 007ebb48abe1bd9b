"""The chat page of real hosts, in Chromium: whoever is logged in asks, and sees the answer."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import flask
import flask_wtf
import pytest
from werkzeug.serving import make_server

from contract.hosts import running
from llmkit.testing import Behaviour, Emulator
from llmkit_flask import LLMKit
from support.kits import settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


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


@pytest.fixture
def under_flask_wtf(browser: Browser) -> Iterator[Page]:
    """Open a tab for an app with CSRFProtect, which checks each POST before llmkit sees it. At / it has the README's page."""
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    (html,) = re.findall(r"```html\n(.*?)```", readme, re.DOTALL)
    with Emulator(behaviour=Behaviour(text="Hello there.", delay=0)) as emulator:
        app = flask.Flask(__name__)
        app.config |= {"SECRET_KEY": "for the session", "LLMKIT": settings(emulator)}
        flask_wtf.CSRFProtect(app)
        LLMKit(app, get_user=lambda request: "7")
        app.add_url_rule("/", view_func=lambda: flask.render_template_string(html))
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with browser.new_context(base_url=f"http://127.0.0.1:{server.server_port}") as context:
                context.set_default_timeout(20_000)
                yield context.new_page()
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def test_the_chat_page_answers_under_flask_wtf(under_flask_wtf: Page) -> None:
    """Its script passes CSRFProtect."""
    under_flask_wtf.goto("/llm/")
    under_flask_wtf.fill("#prompt", "Say hi")
    under_flask_wtf.press("#prompt", "Enter")
    under_flask_wtf.locator('[data-role="assistant"][data-state="done"]').wait_for()


def test_the_readmes_page_answers_under_flask_wtf(under_flask_wtf: Page) -> None:
    """Whoever pastes the README's page into an app with CSRFProtect sees the answer."""
    under_flask_wtf.goto("/")
    under_flask_wtf.locator("#answer", has_text="Hello there.").wait_for()

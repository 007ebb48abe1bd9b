"""The chat page of real hosts, in Chromium: whoever is logged in asks, and sees the answer."""

from __future__ import annotations

import threading
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


def test_the_chat_page_answers_under_flask_wtf(browser: Browser) -> None:
    """Its script passes CSRFProtect, which checks each POST of the app before llmkit sees it."""
    with Emulator(behaviour=Behaviour(tokens=5, delay=0)) as emulator:
        app = flask.Flask(__name__)
        app.config |= {"SECRET_KEY": "for the session", "LLMKIT": settings(emulator)}
        flask_wtf.CSRFProtect(app)
        LLMKit(app, get_user=lambda request: "7")
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with browser.new_context(base_url=f"http://127.0.0.1:{server.server_port}") as context:
                page = context.new_page()
                page.goto("/llm/")
                page.fill("#prompt", "Say hi")
                page.press("#prompt", "Enter")
                page.locator('[data-role="assistant"][data-state="done"]').wait_for(timeout=20_000)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

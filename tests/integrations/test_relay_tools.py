"""The settings of relayed tools, through each kind of relay."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import flask
import httpx
import pytest

from llmkit.sse import SSEDecoder
from llmkit.testing import Behaviour, Emulator
from llmkit_asgi import llmkit_app
from llmkit_flask import LLMKit
from support.browser import SAY_HI
from support.hosts import asgi_host
from support.kits import settings

GO = threading.Event()


def hangs(order: int) -> str:
    """Wait until the test is over."""
    GO.wait()
    return str(order)


def by_asgi(config: dict[str, Any]) -> bytes:
    """Ask an ASGI app."""
    with asgi_host(llmkit_app(config, get_user=lambda scope: "7")) as url:
        return httpx.post(f"{url}/stream", json=SAY_HI).content


def by_flask(config: dict[str, Any]) -> bytes:
    """Ask a Flask app."""
    app = flask.Flask(__name__)
    app.config["LLMKIT"] = config
    LLMKit(app, get_user=lambda request: "7")
    return app.test_client().post("/llm/stream", json=SAY_HI).data


@pytest.mark.parametrize("details", [True, False])
@pytest.mark.parametrize("ask", [by_asgi, by_flask])
def test_the_settings_of_tools(ask: Callable[[dict[str, Any]], bytes], details: bool) -> None:
    """What the browser is told, and how long it waits."""
    GO.clear()
    relay = {"tools": [hangs], "tool_timeout": 0.02, "tool_details": details}
    with Emulator(behaviour=Behaviour(text="so", delay=0)) as emulator:
        emulator.script(Behaviour(calls=[{"name": "hangs", "arguments": {"order": 7}}], delay=0))
        data = ask(settings(emulator, relay=relay))
    GO.set()
    events = SSEDecoder().feed(data)
    called, failed = (json.loads(event.data) for event in events if event.event == "tool")
    assert (called["state"], failed["state"]) == ("called", "failed")
    if details:
        assert called["arguments"] == {"order": 7}
        assert failed["result"] == "The tool did not answer within 0.02 seconds."
    else:
        assert {*called, *failed} == {"id", "name", "state"}
    assert events[-1].data == "[DONE]"

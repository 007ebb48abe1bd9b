"""`flask llmkit models` and `manage.py llmkit_models`: what the app's providers offer."""

from __future__ import annotations

from io import StringIO
from typing import Any

import flask
from django.core.management import call_command

from llmkit.testing import Emulator
from llmkit_flask import LLMKit
from support.kits import settings as llmkit_settings

SAID = "anthropic: 2 models as it lists them\n  claude-haiku-4-5"


def test_flask() -> None:
    """Of the app's own settings."""
    with Emulator() as emulator:
        app = flask.Flask(__name__)
        app.config["LLMKIT"] = llmkit_settings(emulator)
        LLMKit(app)
        done = app.test_cli_runner().invoke(args=["llmkit", "models"])
        some = app.test_cli_runner().invoke(args=["llmkit", "models", "--contains", "sonnet"])
    assert done.output.startswith(SAID)
    assert "haiku" not in some.output


def test_django(settings: Any) -> None:
    """Of the project's."""
    with Emulator() as emulator:
        config = llmkit_settings(emulator)
        del config["ledger"]
        settings.LLMKIT = config
        out = StringIO()
        call_command("llmkit_models", stdout=out)
    assert out.getvalue().startswith(SAID)

"""`flask llmkit models` and `manage.py llmkit_models`: what the app's providers offer."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import flask
import pytest
from django.core.management import CommandError, call_command

from llmkit.testing import Emulator
from llmkit_flask import LLMKit
from support.kits import settings as llmkit_settings

SAID = "anthropic: 2 models as it lists them\n  claude-haiku-4-5"


def test_flask(tmp_path: Path) -> None:
    """Of the app's own settings."""
    with Emulator() as emulator:
        app = flask.Flask(__name__)
        app.config["LLMKIT"] = llmkit_settings(
            emulator, ledger={"database": f"sqlite:///{tmp_path}/llm.db"}
        )
        LLMKit(app)
        done = app.test_cli_runner().invoke(args=["llmkit", "models"])
        some = app.test_cli_runner().invoke(args=["llmkit", "models", "--contains", "sonnet"])
        other = app.test_cli_runner().invoke(args=["llmkit", "models", "--provider", "openai"])
        user = app.test_cli_runner().invoke(args=["llmkit", "budgets", "--user", "7"])
    assert done.output.startswith(SAID)
    assert "haiku" not in some.output
    assert other.exit_code == 1
    assert "and set OPENAI_API_KEY" in other.output
    assert "the app has no budgets" in user.output
    assert "--settings" not in other.output + user.output  # which Flask has not


def test_django(settings: Any) -> None:
    """Of the project's."""
    with Emulator() as emulator:
        config = llmkit_settings(emulator)
        del config["ledger"]
        settings.LLMKIT = config
        out = StringIO()
        call_command("llmkit_models", stdout=out)
        with pytest.raises(CommandError, match="Did you mean anthropic") as raised:
            call_command("llmkit_models", provider="antropic")
    assert out.getvalue().startswith(SAID)
    assert "--settings" not in str(raised.value)  # which to Django means another thing

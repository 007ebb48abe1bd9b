"""Providers of the app's own, where the framework makes the kit: the settings name them."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import flask
import pytest

import llmkit_django
import llmkit_flask
from llmkit import Call, ConfigError, FunctionProvider, Kit
from llmkit_flask import LLMKit


def says(call: Call, model: str) -> str:
    """Say which model was asked."""
    return f"I am {model}."


LOCAL = FunctionProvider("local", says)
MODELS = {"models": {"default": "local:small"}, "ledger": False}


@pytest.fixture(autouse=True)
def shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand for a module of the app's."""
    module: Any = ModuleType("shop_llm")
    module.local, module.says, module.other = LOCAL, says, FunctionProvider("other", says)
    monkeypatch.setitem(sys.modules, "shop_llm", module)


@pytest.mark.parametrize("given", [LOCAL, "shop_llm.local"], ids=["itself", "its path"])
def test_flask(given: Any) -> None:
    """As it is, or by its dotted path."""
    app = flask.Flask(__name__)
    app.config["LLMKIT"] = {**MODELS, "providers": {"local": {"provider": given}}}
    LLMKit(app)
    with app.app_context():
        assert llmkit_flask.get_client().complete("Hi").text == "I am small."


def test_django(settings: Any) -> None:
    """Imported when the first call needs it."""
    settings.LLMKIT = {**MODELS, "providers": {"local": {"provider": "shop_llm.local"}}}
    assert llmkit_django.get_client().complete("Hi").text == "I am small."


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("shop_llm.nothing", "providers.local.provider cannot be imported"),
        ("shop_llm.says", "shop_llm.says is a function. It has to be a provider, such as"),
        ("shop_llm.other", "the provider calls itself 'other'. Give it the name that it has in"),
    ],
)
def test_paths_that_lead_elsewhere(path: str, words: str) -> None:
    """Say so at the first call."""
    kit = Kit({**MODELS, "providers": {"local": {"provider": path}}})
    with pytest.raises(ConfigError, match=words):
        kit.client.complete("Hi")
    kit.close()

"""What a Django project is told that has set llmkit up in a wrong way."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.core import checks
from django.urls import include, path, re_path, register_converter

from llmkit import ConfigError
from llmkit_django import conf
from llmkit_django.checks import check_urls
from support.processes import environ

BARE = ["django.contrib.auth", "django.contrib.contenttypes"]


def manage(words: str, **changed: Any) -> str:
    """Run a command of the project with other settings; return what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "django", *words.split()],
        env=environ(
            DJANGO_SETTINGS_MODULE="support.django_project.settings",
            LLMKIT_TEST_SETTINGS=json.dumps(changed),
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize("words", ["check", "migrate --plan"])
def test_another_name_in_installed_apps(words: str) -> None:
    """The library's name is not the app's: whatever command is run says so."""
    said = manage(words, INSTALLED_APPS=[*BARE, "llmkit"])
    assert '"llmkit" in INSTALLED_APPS is not a Django app' in said
    assert 'Use "llmkit_django" instead' in said


def test_routes_without_the_app() -> None:
    """No check of ours runs then, and so the routes say it."""
    said = manage("check", INSTALLED_APPS=BARE, ROOT_URLCONF="llmkit_django.urls")
    assert 'ImproperlyConfigured: "llmkit_django" is not in INSTALLED_APPS' in said
    assert "manage.py migrate" in said


def test_a_client_without_the_app(settings: Any) -> None:
    """A view that has only imported it is told the same."""
    settings.LLMKIT = {"ledger": False}
    made = conf.Conf(settings.LLMKIT)
    settings.INSTALLED_APPS = BARE
    with pytest.raises(ConfigError, match='"llmkit_django" is not in INSTALLED_APPS'):
        _ = made.kit


def said_of(settings: Any, **changed: Any) -> dict[str, str]:
    """Return what the checks say of settings, by id."""
    for name, value in changed.items():
        setattr(settings, name, value)
    return {
        message.id: f"{message.msg} {message.hint}"
        for message in checks.run_checks(tags=["llmkit"])
    }


def test_no_settings_at_all(settings: Any, db: None) -> None:
    """The check says what to write, and looks at the login all the same."""
    del settings.LLMKIT
    said = said_of(settings, MIDDLEWARE=[])
    assert "settings.LLMKIT is not set" in said["llmkit.W001"]
    assert 'LLMKIT = {"models": {"default": "anthropic:claude-sonnet-4-5"}}' in said["llmkit.W001"]
    assert "AuthenticationMiddleware" in said["llmkit.W004"]


@pytest.mark.parametrize(
    ("given", "word", "says"),
    [
        ({}, "llmkit.W001", "settings.LLMKIT names no model"),
        ({"models": {"fast": "ollama:m"}}, "llmkit.W001", 'LLMKIT["relay"] = {"model": "fast"}'),
        ({"models": "anthropic:m"}, "llmkit.E001", 'did you mean {"models": {"default":'),
        ({"models": {"default": "claude-sonnet-4-5"}}, "llmkit.E001", "did you mean 'anthropic:"),
        ({"api_key": "sk-canary"}, "llmkit.E001", "did you mean providers.<name>.api_key?"),
        ({"models": {"default": "antropic:m"}}, "llmkit.E002", "Did you mean anthropic?"),
        ({"permision": "a.b"}, "llmkit.E001", "did you mean permission?"),
        ({"getuser": "a.b"}, "llmkit.E001", "did you mean get_user?"),
        ("anthropic:m", "llmkit.E001", "settings.LLMKIT is a str"),
    ],
)
def test_settings_that_were_meant_otherwise(
    settings: Any, db: None, given: Any, word: str, says: str
) -> None:
    """The check names the mistake, and what was meant; never a key."""
    said = said_of(settings, LLMKIT=given)
    assert says in said[word]
    assert "canary" not in str(said)


def catchall(request: Any, path: str = "") -> None:
    """Stand for a view that answers everything."""


class _Fails:
    """A converter that cannot say what it has read."""

    regex = ".*"

    def to_python(self, value: str) -> str:
        """Fail."""
        raise RuntimeError(value)

    def to_url(self, value: str) -> str:
        """Fail."""
        raise RuntimeError(value)


register_converter(_Fails, "fails")
OURS = path("llm/", include("llmkit_django.urls"))


@dataclass(frozen=True)
class SimpleUrls:
    """Stands for the module."""

    urlpatterns: tuple[Any, ...]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([path("<path:path>", catchall), OURS], "test_django_setup.catchall Move"),
        ([re_path("", catchall), OURS], "Move llmkit's line above it"),
        ([path("<path:path>", include([path("", catchall)])), OURS], "/llm/ is answered by "),
        ([path("llm/stream", catchall), OURS], "/llm/stream is answered by"),
        ([OURS, re_path("", catchall)], None),
        ([re_path("", catchall)], None),
        ([path("<slug:x>/", include("llmkit_django.urls")), re_path("", catchall)], None),
        ([path("<fails:path>", catchall), OURS], None),
        ([path("ai/", include(("llmkit_django.urls", "llmkit"), namespace="ai"))], None),
        (i18n_patterns(OURS), None),
        ([3], None),
    ],
)
def test_a_view_above_llmkits_line(
    settings: Any, db: None, lines: list[Any], says: str | None
) -> None:
    """A catch-all that answers first is named; URLs that llmkit cannot follow are the project's own matter."""
    settings.ROOT_URLCONF = SimpleUrls(tuple(lines))
    found = [f"{message.msg} {message.hint}" for message in check_urls()]
    assert len(found) == (says is not None)
    assert all(str(says) in text for text in found), found


@pytest.mark.parametrize(
    ("ledger", "says"),
    [
        ({"database": "nope"}, "is not a URL"),
        ({"database": "mysql://u:p@h/d"}, "does not support 'mysql'"),
        ({"database": "sqlite:////no/such/folder/x.db"}, "/no/such/folder, does not exist"),
        ({"database": "postgresql://u:p@h/d"}, "pip install 'llmkit[sql]'"),
        ({"database": "sqlite:///x.db", "connection": "host"}, "leave ledger.database out"),
    ],
)
def test_a_database_that_cannot_be_used(
    settings: Any, db: None, ledger: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known before anything connects is an error of the check."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    given = {"models": {"default": "ollama:m"}, "ledger": ledger}
    assert says in said_of(settings, LLMKIT=given)["llmkit.E003"]


@pytest.mark.parametrize(
    ("given", "missing", "says"),
    [
        ({"redis": "redis://localhost/0"}, "redis", "pip install 'llmkit[redis]'"),
        ({"transport": "aiohttp"}, "aiohttp", "pip install 'llmkit[aiohttp]'"),
        ({"transport": "native"}, "httptools", "pip install 'llmkit[native]'"),
        ({"redis": "redis://localhost:abc/0"}, None, "the URL of Redis cannot be used"),
        ({"redis": "redis+cluster://localhost:abc"}, None, "the URL of Redis cannot be used"),
    ],
)
def test_what_is_not_installed_or_cannot_be_reached(
    settings: Any,
    db: None,
    given: dict[str, str],
    missing: str | None,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is an error of the check, as a wrong setting is; nothing connects."""
    models = {"models": {"default": "ollama:m"}}
    works = {"redis": "redis://127.0.0.1:9/0", "transport": "aiohttp"}
    assert "llmkit.E005" not in said_of(settings, LLMKIT={**models, **works})
    if missing is not None:
        for name in [name for name in sys.modules if name.startswith("llmkit.transport.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, missing, None)
    assert says in said_of(settings, LLMKIT={**models, **given})["llmkit.E005"]


def test_a_database_of_its_own(settings: Any, db: None, tmp_path: Path) -> None:
    """One that can be used is no matter for a check."""
    ledger = {"database": f"sqlite:///{tmp_path / 'x.db'}"}
    given = {"models": {"default": "ollama:m"}, "ledger": ledger}
    assert {word for word in said_of(settings, LLMKIT=given) if word != "llmkit.W005"} == set()
    assert list(tmp_path.iterdir()) == []


def test_a_call_with_a_database_that_cannot_be_used(settings: Any, db: None, client: Any) -> None:
    """A project that has not looked at its checks answers in JSON, and says why in the log."""
    settings.LLMKIT = {"models": {"default": "ollama:m"}, "ledger": {"database": "nope"}}
    answer = client.post("/llm/complete", {"messages": []}, content_type="application/json")
    assert answer.status_code == 503
    assert answer.json()["error"]["hint"]

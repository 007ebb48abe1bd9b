"""Answers that are kept in the cache of the app's framework."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import flask
import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command

from llmkit import ConfigError, Kit
from llmkit.testing import Behaviour, Emulator
from llmkit_django import get_client as django_client
from llmkit_flask import LLMKit, get_client
from support.kits import settings as llmkit_settings
from support.left_over import threads
from support.rows import database, rows

CACHE = {"store": "host", "ttl": 60}


@pytest.fixture(autouse=True)
def apps_end() -> Iterator[None]:
    """See that an app that is gone takes its kit along, and the ledger's thread."""
    yield
    gc.collect()
    assert threads() == []


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start a provider."""
    with Emulator(behaviour=Behaviour(text="It is 42.", delay=0)) as emulator:
        yield emulator


def test_flask_caching(emulator: Emulator, tmp_path: Path) -> None:
    """The app's own, also where it is added after llmkit."""
    caching = pytest.importorskip("flask_caching")
    app = flask.Flask(__name__)
    ledger = {"database": database(tmp_path)}
    app.config["LLMKIT"] = llmkit_settings(emulator, cache=CACHE, ledger=ledger)
    LLMKit(app)
    cache = caching.Cache(app, config={"CACHE_TYPE": "SimpleCache"})
    with app.app_context():
        replies = [
            get_client().complete("What is it?", temperature=0, user=user) for user in (7, 7, 8)
        ]
        cache.clear()
        replies.append(get_client().complete("What is it?", temperature=0, user=7))
    assert [reply.cached for reply in replies] == [False, True, False, False]
    assert [row["status"] for row in rows(tmp_path)][1] == "cached"


@pytest.mark.django_db
def test_djangos_cache(emulator: Emulator, settings: Any) -> None:
    """The project's default one."""
    caches["default"].clear()
    config = llmkit_settings(emulator, cache=CACHE)
    del config["ledger"]
    settings.LLMKIT = config
    replies = [
        django_client().complete("What is it?", temperature=0, user=user) for user in (7, 7, 8)
    ]
    assert [reply.cached for reply in replies] == [False, True, False]
    caches["default"].clear()


def test_flask_clears_it(emulator: Emulator, tmp_path: Path) -> None:
    """By a command, if it is not in the memory of each process."""
    caching = pytest.importorskip("flask_caching")
    for kind, said in (("FileSystemCache", "is given no more"), ("SimpleCache", "memory of each")):
        app = flask.Flask(__name__)
        app.config["LLMKIT"] = llmkit_settings(emulator, cache=CACHE)
        LLMKit(app)
        options = {"CACHE_TYPE": kind, "CACHE_DIR": str(tmp_path / "cache")}
        caching.Cache(app, config=options)
        with app.app_context():
            get_client().complete("What is it?", temperature=0, user=7)
        done = app.test_cli_runner().invoke(args=["llmkit", "cache", "clear", "--user", "7"])
        assert said in done.output
        with app.app_context():
            reply = get_client().complete("What is it?", temperature=0, user=7)
        assert reply.cached is (kind == "SimpleCache")


@pytest.mark.django_db
def test_django_clears_it(emulator: Emulator, settings: Any, tmp_path: Path) -> None:
    """By a command, if it is not in the memory of each process."""
    config = llmkit_settings(emulator, cache=CACHE)
    del config["ledger"]
    for kind in ("filebased.FileBasedCache", "locmem.LocMemCache"):
        backend = {"BACKEND": f"django.core.cache.backends.{kind}", "LOCATION": str(tmp_path)}
        settings.CACHES = {"default": backend}
        settings.LLMKIT = config
        django_client().complete("What is it?", temperature=0, user=7)
        out = StringIO()
        if "locmem" in kind:
            with pytest.raises(CommandError, match="in the memory of each process"):
                call_command("llmkit_cache", "clear", stdout=out)
        else:
            call_command("llmkit_cache", "clear", "--user", "7", stdout=out)
            assert out.getvalue() == "What was kept until now is given no more.\n"
        reply = django_client().complete("What is it?", temperature=0, user=7)
        assert reply.cached is ("locmem" in kind)
    caches["default"].clear()


def test_where_there_is_none(emulator: Emulator) -> None:
    """It is said at the start."""
    with pytest.raises(ConfigError, match=r"cache\.store is .host., and there is no cache"):
        Kit(llmkit_settings(emulator, cache=CACHE))

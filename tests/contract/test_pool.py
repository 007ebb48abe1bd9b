"""What a hundred open streams hold of a Django project's database."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import httpx
import psycopg
import pytest
from django.conf import settings

from contract.hosts import HOSTS, running
from contract.tab import Tab
from llmkit.testing import Behaviour
from support.django_databases import postgres
from support.waits import wait_for

EACH = 100
POOL = 5
ASKING = "support.django_project.middleware.ask_the_database"
STATES = (
    "SELECT state FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize(
    "name", [name for name in ("django-uvicorn", "django-gthread") if name in HOSTS]
)
def test_streams_hold_no_connection(name: str, tmp_path: Path) -> None:
    """A hundred streams over a pool of five: all get their rows, none is in a transaction while tokens come."""
    pool = {"pool": {"min_size": 1, "max_size": POOL, "timeout": 5}}
    database = postgres(OPTIONS=pool, ATOMIC_REQUESTS=True)
    from support.postgres import server

    with (
        psycopg.connect(server().get_uri(), autocommit=True) as watcher,
        running(name, tmp_path, threads=EACH + 4, databases={"default": database}) as host,
        contextlib.ExitStack() as tabs,
    ):
        host.emulator.behaviour = Behaviour(tokens=9, delay=0, hold_at=3)
        opened = []
        for _ in range(EACH):
            opened.append(Tab(host))
            tabs.callback(opened[-1].close)
        for tab in opened:
            tab.read_until(b'"text"')
        states = [state for (state,) in watcher.execute(STATES)]
        assert len(states) <= POOL
        assert not [state for state in states if state != "idle"]
        host.emulator.release(None)
        for tab in opened:
            tab.read_until(b"[DONE]")
        query = "SELECT count(*) FROM llmkit_usage WHERE status = 'finished' AND user_key = '7'"
        wait_for(lambda: watcher.execute(query).fetchone(), (EACH,))


@pytest.mark.parametrize(
    ("options", "connection"),
    [("pool", "own"), ("pool", "host"), ("persistent", "own"), ("plain", "host")],
)
@pytest.mark.parametrize(
    "name", [name for name in ("django-uvicorn", "django-gthread") if name in HOSTS]
)
def test_a_project_that_asks_its_database_around_every_request(
    name: str, options: str, connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls that wait for their model, streamed and whole, hold none of its connections: it goes on with a pool of two."""
    more = {
        "pool": {"OPTIONS": {"pool": {"min_size": 1, "max_size": 2, "timeout": 5}}},
        "persistent": {"CONN_MAX_AGE": 60},
        "plain": {},
    }
    database = postgres(**more[options])
    middleware = {"MIDDLEWARE": [ASKING, *settings.MIDDLEWARE]}
    monkeypatch.setenv("LLMKIT_TEST_SETTINGS", json.dumps(middleware))
    from support.postgres import server

    with (
        psycopg.connect(server().get_uri(), autocommit=True) as watcher,
        running(
            name,
            tmp_path,
            threads=20,
            databases={"default": database},
            ledger={"connection": connection},
        ) as host,
        contextlib.ExitStack() as tabs,
    ):
        held = Behaviour(tokens=9, delay=0, hold_at=3)
        host.emulator.script(*[held] * 12, *[Behaviour(head_delay=60)] * 4)
        opened = []
        for path in ["/llm/stream"] * 12 + ["/llm/complete"] * 4:
            opened.append(Tab(host, path))
            tabs.callback(opened[-1].close)
            if path == "/llm/stream":
                opened[-1].read_until(b'"text"')
        host.emulator.wait_for_requests(16)
        # The writer of the ledger has one of its own; the other is there for who asks.
        wait_for(lambda: len(watcher.execute(STATES).fetchall()) <= 2, wanted=True)
        assert httpx.get(f"{host.url}/hello").text == "hello"
        host.emulator.release(None)
        for tab in opened[:12]:
            tab.read_until(b"[DONE]")
        for tab in opened[12:]:
            tab.close()
        query = "SELECT count(*) FROM llmkit_usage WHERE status = 'finished' AND user_key = '7'"
        wait_for(lambda: watcher.execute(query).fetchone(), (12,))

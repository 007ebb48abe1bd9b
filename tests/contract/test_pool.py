"""What a hundred open streams hold of a Django project's database."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psycopg
import pytest

from contract.hosts import HOSTS, running
from contract.test_contract import Tab
from llmkit.testing import Behaviour
from support.django_databases import postgres
from support.waits import wait_for

EACH = 100
POOL = 5


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
        states = [
            state
            for (state,) in watcher.execute(
                "SELECT state FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ]
        assert len(states) <= POOL
        assert not [state for state in states if state != "idle"]
        host.emulator.release(None)
        for tab in opened:
            tab.read_until(b"[DONE]")
        query = "SELECT count(*) FROM llmkit_usage WHERE status = 'finished' AND user_key = '7'"
        wait_for(lambda: watcher.execute(query).fetchone(), (EACH,))

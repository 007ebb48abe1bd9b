"""The ledger of a Django project outside of tests, over real databases, in every state of the project's own connection."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.django_databases import postgres, sqlite
from support.processes import environ


def run(databases: dict[str, Any], **more: str) -> Any:
    """Run the cases in a process of their own; return what came of them."""
    done = subprocess.run(
        [sys.executable, "-m", "support.django_books"],
        env=environ(LLMKIT_TEST_DATABASES=json.dumps(databases), **more),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "kind",
    ["sqlite", "postgres", "postgres, persistent connections", "postgres, a pool", "two databases"],
)
def test_every_state_of_the_projects_connection(kind: str, tmp_path: Path) -> None:
    """Inside a transaction, rolled back, after a read, with the user's row locked: each row is final, and none waited in vain."""
    databases = {"default": sqlite(tmp_path / "a.db")}
    more = {}
    if kind.startswith("postgres"):
        databases["default"] = postgres()
    if "persistent" in kind:
        databases["default"]["CONN_MAX_AGE"] = 60
    elif "pool" in kind:
        databases["default"]["OPTIONS"] = {"pool": {"min_size": 1, "max_size": 5}}
    elif "two" in kind:
        databases["books"] = sqlite(tmp_path / "b.db")
        routers = {"DATABASE_ROUTERS": ["support.django_books.Router"]}
        more = {"LLMKIT_TEST_ALIAS": "books", "LLMKIT_TEST_SETTINGS": json.dumps(routers)}
    outcome = run(databases, **more)
    assert outcome
    for statuses, warnings in outcome.values():
        assert set(statuses) == {"finished"}, outcome
        assert warnings == [], outcome


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_projects_own_tests(kind: str, tmp_path: Path) -> None:
    """By Django's runner, on a file and on a server: each sees its own rows, at once, and no other test's."""
    if kind == "sqlite":
        database = sqlite(tmp_path / "a.db") | {"TEST": {"NAME": str(tmp_path / "test.db")}}
    else:
        database = postgres()
    done = subprocess.run(
        [sys.executable, "-m", "support.django_testcases"],
        env=environ(LLMKIT_TEST_DATABASES=json.dumps({"default": database})),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "slow or locked" not in done.stderr


KILLED = """
import os, signal, sys
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from django.db import transaction
from llmkit.testing import Behaviour, Emulator
from llmkit_django import get_client
from llmkit_django.conf import current
from llmkit_django.models import UsageRecord
from support.kits import settings as llmkit_settings

call_command("migrate", verbosity=0)
with Emulator(behaviour=Behaviour(tokens=3, delay=0)) as emulator:
    settings.LLMKIT = {**llmkit_settings(emulator), "ledger": {}}
    if sys.argv[1] == "killed":
        with transaction.atomic():
            UsageRecord.objects.create(call_id="of the project", attempt=1, status="x", alias="x", streamed=False,
                started_at="2026-01-01T00:00Z", input_source="x", output_source="x", worker="x")
            get_client().complete("Say hi")
            os.kill(os.getpid(), signal.SIGKILL)
    get_client().complete("Say hi")
    current().kit.ledger.flush(30)
    current().close()
print(sorted(UsageRecord.objects.values_list("status", flat=True)))
"""


def test_a_kill_inside_a_transaction_loses_no_row(tmp_path: Path) -> None:
    """On SQLite the row waits for the end of the project's transaction: in the outbox, where the next process finds it."""
    env = environ(
        LLMKIT_TEST_DATABASES=json.dumps({"default": sqlite(tmp_path / "a.db")}),
        DJANGO_SETTINGS_MODULE="support.django_project.settings",
    )

    def run_it(how: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", KILLED, how],
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    killed = run_it("killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert list(tmp_path.glob("*.outbox"))
    after = run_it("afterwards")
    assert after.stdout.strip() == "['finished', 'finished']", after.stderr
    assert not list(tmp_path.glob("*.outbox"))


def run_script(script: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, in a project whose database is a SQLite file."""
    return subprocess.run(
        [sys.executable, "-c", script, str(file)],
        env=environ(
            LLMKIT_TEST_DATABASES=json.dumps({"default": sqlite(file)}),
            DJANGO_SETTINGS_MODULE="support.django_project.settings",
        ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


PRUNED = """
import sqlite3, sys
from datetime import UTC, datetime, timedelta
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from llmkit_django.models import UsageRecord
call_command("migrate", verbosity=0)
for name in ("one", "two"):
    UsageRecord.objects.create(call_id=name, attempt=1, status="x", alias="x", streamed=False, started_at=datetime(2026, 1, 1, tzinfo=UTC),
        input_source="x", output_source="x", worker="x")
other = sqlite3.connect(sys.argv[1], isolation_level=None)
other.execute("PRAGMA journal_mode = WAL")
def writes_before(execute, sql, params, many, context):
    if sql.startswith("DELETE"):
        other.execute("UPDATE llmkit_usage SET user_key = '7' WHERE call_id = 'two'")
    return execute(sql, params, many, context)
with connection.execute_wrapper(writes_before):
    call_command("llmkit_prune", "--older-than", "1d")
print(UsageRecord.objects.count())
"""


def test_old_rows_go_while_others_write(tmp_path: Path) -> None:
    """On SQLite, where a transaction that has read cannot write once another has written."""
    file = tmp_path / "a.db"
    done = run_script(PRUNED, file)
    assert done.stdout.splitlines()[-1:] == ["0"], done.stderr
    assert done.stdout.startswith("2 rows ")


LOCKED = """
import sqlite3, sys
import django
django.setup()
from django.core.management import call_command
from django.db import connection
from llmkit_django.store import DjangoStore
call_command("migrate", verbosity=0)
other = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
other.execute("PRAGMA journal_mode = WAL")
def changes(ask, dialect):
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        return str(error)
    other.execute("ROLLBACK")
    return "free"
for own in (True, False):
    store = DjangoStore(lambda: "test", own=own)
    print(store.change(changes), store.ask(changes), connection.transaction_mode)
"""


def test_nobody_writes_between_what_budgets_read_and_what_they_write(tmp_path: Path) -> None:
    """On SQLite a budget is decided in a transaction that has locked the database from its beginning; reading locks nothing."""
    file = tmp_path / "a.db"
    done = run_script(LOCKED, file)
    assert done.stdout.splitlines() == ["database is locked free None"] * 2, done.stderr

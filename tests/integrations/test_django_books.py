"""The ledger of a Django project outside of tests, over real databases, in every state of the project's own connection."""

from __future__ import annotations

import json
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

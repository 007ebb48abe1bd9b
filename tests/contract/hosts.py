"""The hosts of the contract: each a server with an app, in a process of its own, and an emulator behind it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmkit.testing import Behaviour, Emulator
from support.canary import leaks
from support.kits import settings
from support.loops import LOOP
from support.processes import environ
from support.waits import wait_for

HEARTBEAT = 1.0
# Models of which each user has one call, and in which period.
BUDGETED = {"one-an-hour": "hour", "one-a-month": "month"}
DJANGO = {
    "DJANGO_SETTINGS_MODULE": "support.django_project.settings",
}

_UVICORN = [
    "uvicorn",
    "{app}",
    "--fd",
    "{fd}",
    "--log-level",
    "warning",
    "--timeout-graceful-shutdown",
    "{grace}",
    "--loop",
    LOOP,
]
_GUNICORN = [
    "gunicorn",
    "{app}",
    "--bind",
    "fd://{fd}",
    "--log-level",
    "warning",
    "--graceful-timeout",
    "{grace}",
]
_GTHREAD = [*_GUNICORN, "--worker-class", "gthread", "--threads", "{threads}"]
_GEVENT = [*_GUNICORN, "--worker-class", "gevent"]
_WAITRESS = ["contract.apps.waitress_server", "{app}", "{fd}"]
_DJANGO_ASGI = "support.django_project.asgi:application"
_DJANGO_WSGI = "support.django_project.wsgi:application"
_FLASK = "contract.apps.flask_app:app"

# By name: the command, and the app that it serves. LLMKIT_CONTRACT_HOSTS names fewer, where only the framework's version is new.
_ALL = {
    "starlette-uvicorn": (_UVICORN, "contract.apps.starlette_app:app"),
    "fastapi-uvicorn": (_UVICORN, "contract.apps.fastapi_app:app"),
    "django-uvicorn": (_UVICORN, _DJANGO_ASGI),
    "django-gthread": (_GTHREAD, _DJANGO_WSGI),
    "django-gevent": (_GEVENT, _DJANGO_WSGI),
    "django-waitress": (_WAITRESS, _DJANGO_WSGI),
    "flask-gthread": (_GTHREAD, _FLASK),
    "flask-gevent": (_GEVENT, _FLASK),
    "flask-waitress": (_WAITRESS, _FLASK),
}
_WANTED = os.environ.get("LLMKIT_CONTRACT_HOSTS")
ALL_HOSTS = _WANTED is None
HOSTS = {name: _ALL[name] for name in (_WANTED.split(",") if _WANTED else _ALL)}


@dataclass
class Host:
    """A running host. `body` is what a page posts; `user` is the header that logs in."""

    name: str
    url: str
    emulator: Emulator
    database: Path
    process: subprocess.Popen[str]
    _seen: int = 0
    user: dict[str, str] = field(default_factory=lambda: {"x-user": "7"})

    @property
    def is_asgi(self) -> bool:
        """Whether the server speaks ASGI, and so sees at once that a browser left."""
        return self.name.endswith("uvicorn")

    @property
    def is_django(self) -> bool:
        """Whether Django's own CSRF check decides where a request comes from."""
        return self.name.startswith("django")

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows since the last reset, in the order they were begun."""
        query = "SELECT * FROM llmkit_usage WHERE id > ? ORDER BY id"
        with contextlib.closing(sqlite3.connect(self.database, timeout=5)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                found = connection.execute(query, (self._seen,)).fetchall()
            except sqlite3.OperationalError:  # no table yet: nobody has called
                found = []
        assert leaks([dict(row) for row in found]) == []
        return [dict(row) for row in found]

    def wait_for_rows(self, *statuses: str) -> list[dict[str, Any]]:
        """Wait until the rows have these statuses, and return them."""
        wait_for(lambda: [row["status"] for row in self.rows()], list(statuses))
        return self.rows()

    def reset(self) -> None:
        """Begin another test."""
        self.emulator.reset()
        self._seen = max([self._seen, *(row["id"] for row in self.rows())])


@contextlib.contextmanager
def running(
    name: str,
    folder: Path,
    *,
    cut: bool = False,
    threads: int = 16,
    databases: dict[str, Any] | None = None,
    wire: str = "anthropic",
    **more: Any,
) -> Iterator[Host]:
    """Start a host; at the end it stops when it is told to, and its log has no secret and, unless it was cut, no traceback.

    `databases` are a Django project's; its rows are then the test's to read. `more` are settings.
    """
    command, app = HOSTS[name]
    database = folder / "ledger.db"
    grace = 1 if cut else 6  # more than a middleware of the tests holds on
    with Emulator(behaviour=Behaviour(tokens=6, delay=0)) as emulator:
        config = settings(
            emulator,
            wire=wire,
            ledger={} if name.startswith("django") else {"database": f"sqlite:///{database}"},
            relay={"heartbeat": HEARTBEAT, "max_body": 100_000, "models": [*BUDGETED]},
            retry={"attempts": 1},
            budgets=[
                {"scope": "user", "per": per, "requests": 1, "models": [name]}
                for name, per in BUDGETED.items()
            ],
        )
        if wire != "anthropic":  # whose model's price is known
            config["prices"] = {config["models"]["default"]: {"input": 1, "output": 5}}
        config["models"] |= dict.fromkeys(BUDGETED, config["models"]["default"])
        config |= more
        if config["ledger"].get("connection") == "host":
            del config["budgets"]  # which are not kept there
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        environ = _environ(config, database, databases)
        if name.startswith("django"):
            migrate(environ)
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                *(
                    word.format(fd=listener.fileno(), app=app, grace=grace, threads=threads)
                    for word in command
                ),
            ],
            env=environ,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[listener.fileno()],
        )
        host = Host(
            name, f"http://127.0.0.1:{listener.getsockname()[1]}", emulator, database, process
        )
        try:
            yield host
        finally:
            process.terminate()
            try:
                _, log = process.communicate(timeout=20)
            finally:
                process.kill()
                listener.close()
        assert cut or "Traceback" not in log, log
        assert leaks(log) == []
        assert process.returncode in (0, -signal.SIGTERM), log


def migrate(environ: dict[str, str]) -> None:
    """Make the tables of the Django project."""
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--verbosity", "0"], env=environ, check=True
    )


def _environ(
    config: dict[str, Any], database: Path, databases: dict[str, Any] | None
) -> dict[str, str]:
    if databases is None:
        databases = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}}
    return environ(
        **DJANGO,
        LLMKIT_TEST_CONFIG=json.dumps(config),
        LLMKIT_TEST_DATABASES=json.dumps(databases),
        LLMKIT_TEST_NO_COLLECTOR="1",
    )

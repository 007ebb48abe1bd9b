"""The project's own connections: given back before a model is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import sync_to_async
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


def give_back() -> None:
    """Close this thread's connections, to a pool where there is one; Django opens them again when they are next asked for.

    A request's connections are its own until it ends, which for an answer of a model may be minutes. One inside a transaction
    stays: it is not ours to end.
    """
    for connection in connections.all(initialized_only=True):
        if is_free(connection):
            connection.close()


def is_free(connection: BaseDatabaseWrapper) -> bool:
    """Whether a connection is open, and nothing is lost when it is closed. Nobody waits for one to SQLite, so it stays."""
    return (
        connection.connection is not None
        and connection.vendor != "sqlite"
        and connection.get_autocommit()  # not so in a transaction
    )


async def in_request_thread(work: Callable[[], Any]) -> Any:
    """Run a function where the request's connections are."""
    return await sync_to_async(work)()


async def agive_back() -> None:
    """Do what `give_back` does, in the thread in which the request's connections are."""
    await sync_to_async(give_back)()


@contextmanager
def closing_connections() -> Iterator[None]:
    """Close what the app's own code has opened within, in a thread of llmkit's: no request ends there."""
    try:
        yield
    finally:
        for connection in connections.all(initialized_only=True):
            connection.close()

"""The ledger over Django's own connections."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connections, router
from django.db import transaction as transactions
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from llmkit.config import Config
from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Ledger
from llmkit.ledger.host import HostLedger, ask_host_thread
from llmkit.ledger.row import Closing, Opening, RowRejected
from llmkit.ledger.values import CLOSING, FOREIGN, OPEN, OPENING, fit_column, fit_tags
from llmkit.ledger.worker import WorkerName
from llmkit.ledger.writer import LedgerWriter
from llmkit_django.connections import is_free
from llmkit_django.models import UsageRecord

log = logging.getLogger("llmkit.ledger")

_MIGRATE = "Run manage.py migrate, and check that the database of the app llmkit is running."
# For one transaction of the writer's: whoever holds the table holds up no call for long.
_POSTGRES_LIMITS = (
    "SELECT set_config('lock_timeout', '1s', true), set_config('statement_timeout', '4s', true)"
)
_closing_values = attrgetter(*CLOSING.values())


def make_ledger(config: Config) -> Ledger | None:
    """Make the ledger in the project's database; None if the settings turn it off, or put it elsewhere."""
    ledger = config.ledger
    if ledger is False or ledger.database is not None:
        return None
    return DjangoLedger(on_host=ledger.connection == "host")


class DjangoLedger:
    """Writes rows over a connection of its own, so that the host's rollback takes none along; or over the host's.

    The host's it is where the settings say so, where the database is in memory, and inside a test that Django rolls back: there no
    other connection would see the test's data, nor would its rows go with the test. On SQLite a row that is begun inside a
    transaction of the host's is written when that has ended: it would wait for itself.
    """

    def __init__(self, *, on_host: bool) -> None:
        worker = WorkerName()
        self._on_host = on_host
        self._own = LedgerWriter(DjangoStore(worker, own=True))
        self._host = HostLedger(DjangoStore(worker, own=False), from_async=_from_async)

    def begin(self, opening: Opening) -> None:
        """Write a row as `started`; see `Ledger`."""
        ledger = self._here()
        until = self._end_of_transaction(ledger)
        if until is not None:
            self._own.begin_later(opening, until=until)
        else:
            ledger.begin(opening)

    async def abegin(self, opening: Opening) -> None:
        """Write a row as `started`; see `Ledger`."""
        ledger = await self._ahere()
        until = await self._aend_of_transaction(ledger)
        if until is not None:
            self._own.begin_later(opening, until=until)
        else:
            await ledger.abegin(opening)

    def finish(self, closing: Closing) -> None:
        """Close a row; see `Ledger`."""
        self._here().finish(closing)

    async def afinish(self, closing: Closing) -> None:
        """Close a row; see `Ledger`."""
        await (await self._ahere()).afinish(closing)

    def finish_soon(self, closing: Closing) -> None:
        """Hand in a closing; see `Ledger`."""
        ledger = self._host if self._on_host or _is_in_memory() or _is_testing() else self._own
        ledger.finish_soon(closing)

    def record(self, opening: Opening, closing: Closing) -> None:
        """Write a final row; see `Ledger`."""
        ledger = self._here()
        until = self._end_of_transaction(ledger)
        if until is not None:
            self._own.begin_later(opening, closing, until=until)
        else:
            ledger.record(opening, closing)

    async def arecord(self, opening: Opening, closing: Closing) -> None:
        """Write a final row; see `Ledger`."""
        ledger = await self._ahere()
        until = await self._aend_of_transaction(ledger)
        if until is not None:
            self._own.begin_later(opening, closing, until=until)
        else:
            await ledger.arecord(opening, closing)

    def flush(self, timeout: float) -> None:
        """Wait until what was handed in is written; see `Ledger`."""
        self._own.flush(timeout)

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits; see `Ledger`."""
        self._own.close(timeout)
        self._host.close(timeout)

    def _end_of_transaction(self, ledger: Ledger) -> Callable[[], bool] | None:
        if ledger is not self._own or not _can_be_locked():
            return None
        return ask_host_thread(_end_of_transaction)

    async def _aend_of_transaction(self, ledger: Ledger) -> Callable[[], bool] | None:
        if ledger is not self._own or not _can_be_locked():
            return None
        return await sync_to_async(_end_of_transaction)()

    def _here(self) -> Ledger:
        if self._on_host or _is_in_memory():
            return self._host
        if _is_testing() and ask_host_thread(_is_in_test):
            return self._host
        return self._own

    async def _ahere(self) -> Ledger:
        if self._on_host or _is_in_memory():
            return self._host
        if _is_testing() and await sync_to_async(_is_in_test)():
            return self._host
        return self._own


class DjangoStore:
    """Keeps rows in the model's table, in the database that the project's routers name.

    Args:
        worker: gives the name of this process.
        own: whether the thread that writes has nothing but this to do with its connection.
    """

    def __init__(self, worker: Callable[[], str], *, own: bool) -> None:
        self._worker = worker
        self._own = own

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> None:
        """Write rows in one transaction; see `Store.write`."""
        connection = _connection()
        was_open = connection.connection is not None
        try:
            try:
                self._write(connection, openings, closings)
            except (DatabaseError, InterfaceError):
                if not self._own or (connection.connection is not None and connection.is_usable()):
                    raise
                connection.close()
                self._write(connection, openings, closings)
        except (
            DataError,
            IntegrityError,
            TypeError,
            ValueError,
            AttributeError,
            OverflowError,
        ) as error:
            raise RowRejected(
                f"the ledger's database refused a row ({type(error).__name__})",
                hint="One of its values does not fit its column.",
            ) from error
        except (DatabaseError, InterfaceError) as error:
            said = (str(error).strip().splitlines() or [""])[0][:200]
            raise LedgerUnavailable(
                f"the ledger's database {connection.alias!r} is unavailable ({type(error).__name__}: {said})",
                hint=_MIGRATE,
            ) from error
        finally:
            if self._own and _is_testing():
                connection.close()  # or the test's database could not be dropped
            if not (self._own or was_open) and is_free(connection):
                connection.close()  # left as it was found: given back while tokens stream

    def close(self) -> None:
        """Close the writer's connection; the host's is the host's."""
        if self._own:
            _connection().close()

    def _write(
        self,
        connection: BaseDatabaseWrapper,
        openings: Sequence[Opening],
        closings: Sequence[Closing],
    ) -> None:
        rows = UsageRecord._base_manager.using(connection.alias)  # noqa: SLF001  # documented
        worker = self._worker()
        with transactions.atomic(using=connection.alias):
            if self._own and connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(_POSTGRES_LIMITS)
            if openings:
                # A group that is tried again may have been committed already.
                rows.bulk_create(
                    [_record(opening, worker) for opening in openings], ignore_conflicts=True
                )
            for closing in closings:
                row = rows.filter(call_id=closing.call_id, attempt=closing.attempt, status__in=OPEN)
                row.update(**_closing_columns(closing))


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_write(UsageRecord)]


def _is_in_memory() -> bool:
    connection = _connection()
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def _can_be_locked() -> bool:
    """Whether a transaction of the host's, even one that only reads, can keep all others from writing."""
    vendor: str = _connection().vendor
    return vendor == "sqlite"


def _end_of_transaction() -> Callable[[], bool] | None:
    """Return what says whether this thread's transaction has ended; None if it has none."""
    connection = _connection()
    return (lambda: not connection.in_atomic_block) if connection.in_atomic_block else None


def _is_testing() -> bool:
    return hasattr(mail, "outbox")  # as Django's test environment sets it up


def _is_in_test() -> bool:
    """Whether this thread is inside a transaction that Django's test case rolls back."""
    return any(getattr(block, "_from_testcase", False) for block in _connection().atomic_blocks)


async def _from_async(work: Callable[[], None]) -> None:
    try:
        await sync_to_async(work)()
    except RuntimeError as error:
        # The browser left, and its request's thread with it: the row is written over a connection of its own.
        log.debug("a row is written after its request: %s", error)
        await sync_to_async(partial(_alone, work), thread_sensitive=False)()


def _alone(work: Callable[[], None]) -> None:
    try:
        work()
    finally:
        _connection().close()


def _record(opening: Opening, worker: str) -> UsageRecord:
    values: dict[str, Any] = {
        name: _fitted(name, getattr(opening, path)) for name, path in OPENING.items()
    }
    values["tags"] = fit_tags(opening.tags)
    return UsageRecord(
        **values,
        user_id=_user_id(opening.user_key),
        status="started",
        input_source="unknown",
        output_source="unknown",
        worker=worker,
    )


def _closing_columns(closing: Closing) -> dict[str, Any]:
    values = zip(CLOSING, _closing_values(closing), strict=True)
    return {name: _fitted(name, value) for name, value in values}


def _fitted(name: str, value: Any) -> Any:
    if name in FOREIGN:
        return fit_column(name, value)
    if name.endswith("_at") and value is not None and not settings.USE_TZ:
        return timezone.make_naive(value, timezone.get_default_timezone())
    return value


def _user_id(user_key: str | None) -> Any:
    """Return the primary key that a user key is, if it is one."""
    if user_key is None:
        return None
    key = get_user_model()._meta.pk  # noqa: SLF001  # documented
    try:
        value = key.to_python(user_key)
        key.run_validators(value)
    except (ValidationError, ValueError, TypeError):
        return None
    return value

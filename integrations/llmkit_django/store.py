"""The ledger's rows in the model's table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, tzinfo
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import atomic
from django.utils import timezone

from llmkit.budget.bell import Bell
from llmkit.errors import LedgerUnavailable
from llmkit.ledger.accounts import Accounts
from llmkit.ledger.budgeted_rows import has_holds, once, write_rows
from llmkit.ledger.columns import HOSTS
from llmkit.ledger.row import Closing, Opening, Progress, Refusals, RowRejected
from llmkit.ledger.run import ALIVE_EVERY
from llmkit.ledger.selection import EVERYTHING, Selection
from llmkit.ledger.sums import Key, Sum
from llmkit.ledger.upkeep import Upkeep
from llmkit.ledger.values import CLOSING, FOREIGN, OPEN, OPENING, PROGRESS, fit_column, fit_tags
from llmkit_django import liveness, reports
from llmkit_django.connections import is_free
from llmkit_django.models import UsageRecord
from llmkit_django.transactions import is_testing

T = TypeVar("T")

_MIGRATE = "Run manage.py migrate, and check that the database of the app llmkit is running."
# For one transaction of the writer's: whoever holds the table holds up no call for long.
_POSTGRES_LIMITS = (
    "SELECT set_config('lock_timeout', '1s', true), set_config('statement_timeout', '4s', true)"
)
# What a value is to Django that its column does not take.
_FAULTS_OF_ROWS: tuple[type[Exception], ...] = (
    *(DataError, IntegrityError, TypeError, ValueError, AttributeError, OverflowError),
)
_closing_values = attrgetter(*CLOSING.values())
_progress_values = attrgetter(*PROGRESS.values())


class DjangoStore(Upkeep):
    """Keeps rows in the model's table, in the database that the project's routers name.

    Args:
        worker: gives the name of this process.
        own: whether the thread that writes has nothing but this to do with its connection.
        alive_every: after how many seconds an opening notes again that this process lives.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        worker: Callable[[], str],
        *,
        own: bool,
        alive_every: float = ALIVE_EVERY,
        clock: Callable[[], float] = time.monotonic,
        bell: Bell | None = None,
    ) -> None:
        self._worker = worker if own else lambda: f"{HOSTS}{worker()}"
        self._own = own
        self._alive_every = alive_every
        self._clock = clock
        self._noted: dict[str, float] = {}
        self._accounts = Accounts(bell=bell)

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
        """Write rows in one transaction; see `Store.write`."""
        worker, now = self._worker(), self._clock()
        notes = bool(openings) and self._is_due(worker, now)
        holds = has_holds(openings, closings)
        write = partial(self._write, openings, closings, worker, notes, holds)
        refused = once(lambda again: self._do(partial(write, again), locks=holds))
        if notes:
            self._noted = {worker: now}
        return refused

    def note(self, progress: Sequence[Progress]) -> None:
        """Say that this process lives, and what it has so far; see `Store.note`."""
        self._do(partial(self._note, progress))

    def sweep(self, *, silent: float, every: float = 0.0) -> int | None:
        """Mark rows as lost; see `Store.sweep`."""
        return self._do(partial(self._sweep, silent, every), of_rows=False, locks=True)

    def _do(
        self,
        work: Callable[[BaseDatabaseWrapper], T],
        *,
        of_rows: bool = True,
        locks: bool = False,
    ) -> T:
        """Do something in a transaction over this thread's connection; over a new one if that turns out to be broken.

        Args:
            work: what is done.
            of_rows: whether it writes rows, one of which may be at fault.
            locks: whether a SQLite database is locked from its beginning: a transaction that has read before it writes would fail if
                another has written.
        """
        faults = _FAULTS_OF_ROWS if of_rows else ()
        connection = ledger_connection()
        was_open = connection.connection is not None
        try:
            try:
                return self._in_transaction(connection, work, locks=locks)
            except (DatabaseError, InterfaceError):
                if not self._own or (connection.connection is not None and connection.is_usable()):
                    raise
                connection.close()
                return self._in_transaction(connection, work, locks=locks)
        except faults as error:
            raise RowRejected(
                f"the ledger's database refused a row ({type(error).__name__})",
                hint="One of its values does not fit its column.",
            ) from None  # its message may quote the row
        except (DatabaseError, InterfaceError) as error:
            raise _unavailable(error, connection.alias) from error
        finally:
            if self._own and is_testing():
                connection.close()  # or the test's database could not be dropped
            if not (self._own or was_open) and is_free(connection):
                connection.close()  # left as it was found: given back while tokens stream

    def recent(self, limit: int, selection: Selection = EVERYTHING) -> list[dict[str, Any]]:
        """Read the latest rows; see `Reader.recent`."""
        with _reading():
            return reports.recent(limit, selection)

    def sums(
        self, by: Sequence[str] = (), selection: Selection = EVERYTHING, *, zone: tzinfo = UTC
    ) -> dict[Key, Sum]:
        """Add rows up; see `Reader.sums`."""
        with _reading():
            return reports.sums(by, selection, zone)

    def ask(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Let something ask the database in one transaction; see `Upkeep.ask`."""

        def asked(connection: BaseDatabaseWrapper) -> T:
            ask = partial(reports.ask, connection)
            return work(ask, reports.dialect_of(connection), *args, **kwargs)

        return self._do(asked, of_rows=False)

    def change(self, work: Callable[..., T], *args: Any) -> T:
        """Let something change the database in one transaction; see `Upkeep.change`."""

        def changed(connection: BaseDatabaseWrapper) -> T:
            ask = partial(reports.ask, connection)
            return work(ask, reports.dialect_of(connection), *args)

        return self._do(changed, of_rows=False, locks=True)

    def close(self) -> None:
        """Close the writer's connection; the host's is the host's."""
        if self._own:
            ledger_connection().close()

    def _in_transaction(
        self,
        connection: BaseDatabaseWrapper,
        work: Callable[[BaseDatabaseWrapper], T],
        *,
        locks: bool,
    ) -> T:
        alone = _locked(connection, of_all=not self._own) if locks else nullcontext()
        with self._accounts.telling(), alone, atomic(using=connection.alias):
            if self._own and connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(_POSTGRES_LIMITS)
            return work(connection)

    def _write(
        self,
        openings: Sequence[Opening],
        closings: Sequence[Closing],
        worker: str,
        notes: bool,  # noqa: FBT001
        holds: bool,  # noqa: FBT001
        again: bool,  # noqa: FBT001
        connection: BaseDatabaseWrapper,
    ) -> Refusals:
        if notes:
            # In the same transaction: a row whose process is not known to live could be swept up at once.
            liveness.note(connection, worker)
        insert, update = partial(_insert, connection, worker), partial(_update, connection)
        if holds:
            ask, dialect = partial(reports.ask, connection), reports.dialect_of(connection)
            change = partial(self._accounts.change, ask, dialect, again=again)
            return write_rows(change, openings, closings, insert=insert, update=update)
        insert(openings)
        update(closings)
        return {}

    def _note(self, progress: Sequence[Progress], connection: BaseDatabaseWrapper) -> None:
        liveness.note(connection, self._worker())
        rows = UsageRecord._base_manager.using(connection.alias)  # noqa: SLF001  # documented
        for row in progress:
            # One that is lost may still be open: its process says so.
            begun = rows.filter(call_id=row.call_id, attempt=row.attempt, status__in=OPEN)
            begun.update(**_columns(PROGRESS, _progress_values(row)))

    def _is_due(self, worker: str, now: float) -> bool:
        """Whether it is time to say that this process lives."""
        last = self._noted.get(worker)
        return self._own and (last is None or now - last >= self._alive_every)

    def _sweep(self, silent: float, every: float, connection: BaseDatabaseWrapper) -> int | None:
        lost = liveness.sweep(connection, self._worker(), silent=silent, every=every)
        if lost is not None:
            self._accounts.sweep(partial(reports.ask, connection), reports.dialect_of(connection))
        return lost


# Threads that share the host's connection, where it is in memory or a test's.
_one_at_a_time = threading.RLock()


@contextmanager
def _locked(connection: BaseDatabaseWrapper, *, of_all: bool) -> Iterator[None]:
    """Let a transaction that begins within lock a SQLite database at once; of threads that may share their connection one at a time."""
    with _one_at_a_time if of_all else nullcontext():
        if connection.vendor != "sqlite" or connection.in_atomic_block:
            yield
            return
        connection.ensure_connection()  # which sets it
        mode = connection.transaction_mode
        connection.transaction_mode = "IMMEDIATE"
        try:
            yield
        finally:
            connection.transaction_mode = mode


def _insert(connection: BaseDatabaseWrapper, worker: str, openings: Sequence[Opening]) -> None:
    if openings:
        rows = UsageRecord._base_manager.using(connection.alias)  # noqa: SLF001  # documented
        # A group that is tried again may have been committed already.
        rows.bulk_create([_record(opening, worker) for opening in openings], ignore_conflicts=True)


def _update(connection: BaseDatabaseWrapper, closings: Sequence[Closing]) -> None:
    rows = UsageRecord._base_manager.using(connection.alias)  # noqa: SLF001  # documented
    for closing in closings:
        row = rows.filter(call_id=closing.call_id, attempt=closing.attempt, status__in=OPEN)
        row.update(**_columns(CLOSING, _closing_values(closing)))


def ledger_connection() -> BaseDatabaseWrapper:
    """Return this thread's connection to the database that the ledger is in."""
    return connections[router.db_for_write(UsageRecord)]


def database_file(connection: BaseDatabaseWrapper) -> Path | None:
    """Return the file that a database is; None if it is on a server, or in memory."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return None
    return Path(connection.settings_dict["NAME"]).absolute()


def identity(connection: BaseDatabaseWrapper) -> str:
    """Return what tells a database from others."""
    settings = connection.settings_dict
    return " ".join(str(settings[name]) for name in ("ENGINE", "HOST", "PORT", "NAME"))


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        raise _unavailable(error, router.db_for_read(UsageRecord)) from error


def _unavailable(error: Exception, alias: str) -> LedgerUnavailable:
    said = (str(error).strip().splitlines() or [""])[0][:200]
    return LedgerUnavailable(
        f"the ledger's database {alias!r} is unavailable ({type(error).__name__}: {said})",
        hint=_MIGRATE,
    )


def _record(opening: Opening, worker: str) -> UsageRecord:
    values: dict[str, Any] = {
        name: _fitted(name, getattr(opening, path)) for name, path in OPENING.items()
    }
    values["tags"] = fit_tags(opening.tags)
    values["worker"] = values["worker"] or worker
    return UsageRecord(
        **values,
        user_id=_user_id(opening.user_key),
        status="started",
        output_source="unknown",
    )


def _columns(names: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    return {name: _fitted(name, value) for name, value in zip(names, values, strict=True)}


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

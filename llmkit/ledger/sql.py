"""The ledger in a SQL database: one connection, and its errors sorted by what helps."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Dialect, Engine

from llmkit.budget.bell import Bell
from llmkit.ledger.budgeted_rows import has_holds
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.columns import HOSTS
from llmkit.ledger.database import (
    connect_to_read,
    database_url,
    file_of,
    lock,
    new_engine,
    not_supported,
    set_up,
    shown,
    unavailable,
)
from llmkit.ledger.outbox.ledger import OutboxLedger
from llmkit.ledger.outbox.open import with_outbox
from llmkit.ledger.reading import TableReader, ask, dialect_of
from llmkit.ledger.row import Closing, Opening, Progress, Refusals
from llmkit.ledger.rows import RowWriter
from llmkit.ledger.run import ALIVE_EVERY
from llmkit.ledger.upgrade import prepare
from llmkit.ledger.upkeep import Upkeep
from llmkit.ledger.writer import LedgerWriter

if TYPE_CHECKING:
    from llmkit.config import LedgerConfig

T = TypeVar("T")

# Locked, or full: the time to wait has been spent, and a new connection would not help.
_BUSY_SQLITE = {5, 6, 13}  # SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL
_BUSY_POSTGRES = {"55P03", "57014", "53100"}  # lock_timeout, statement_timeout, disk_full

# SQLite must not close in a child what its parent opened, and so neither may the garbage collector
# (https://sqlite.org/howtocorrupt.html, 2.6).
_inherited: list[Connection] = []


def open_ledger(database: str, *, worker: str | Callable[[], str]) -> LedgerWriter:
    """Make the writer for a database, without an outbox. Nothing is opened before the first row.

    Args:
        database: its URL, `sqlite:///path/to/file.db` or `postgresql://user:password@host/name`.
        worker: the name of this process, or a function that returns it, which is called for each
            connection (processes may fork).

    Raises:
        ConfigError: the URL cannot be used.
    """
    bell = Bell()
    store = SQLStore(database_url(database), worker=worker, bell=bell)
    budgets = TableBudgets(SQLStore(database_url(database), worker=worker), bell=bell)
    return LedgerWriter(store, reader=store, budgets=budgets)


def open_store(database: str) -> SQLStore:
    """Open the ledger in a database to look into it, or to look after it. Nothing is connected before it is asked.

    Raises:
        ConfigError: the URL cannot be used.
    """
    return SQLStore(database_url(database), worker="")


def open_with_outbox(settings: LedgerConfig, *, worker: Callable[[], str]) -> OutboxLedger:
    """Make the ledger that the settings describe, in a database of its own. Nothing is opened before the first row.

    Raises:
        ConfigError: the URL of the database cannot be used.
    """
    url, bell = database_url(settings.database or ""), Bell()
    return with_outbox(
        SQLStore(url, worker=worker, bell=bell),
        SQLStore(url, worker=worker, bell=bell),
        TableBudgets(SQLStore(url, worker=worker), bell=bell),
        settings,
        database=f"{shown(url)} {url.query.get('host', '')}",
        file=file_of(url),
        worker=worker,
    )


class SQLStore(TableReader, Upkeep):
    """Keeps rows in the table `llmkit_usage`, which it creates when it is missing.

    One thread uses it. The connection is made on the first write, and again after a fork; when it
    broke, once in a write.

    Args:
        url: of the database, from `database_url`.
        worker: the name of this process, or what gives it; asked for each connection.
        alive_every: after how many seconds an opening notes again that this process lives.
        clock: gives the time in seconds.
        bell: is told of limits of budgets that come near.
    """

    def __init__(
        self,
        url: URL,
        *,
        worker: str | Callable[[], str],
        alive_every: float = ALIVE_EVERY,
        clock: Callable[[], float] = time.monotonic,
        bell: Bell | None = None,
    ) -> None:
        super().__init__(url, partial(connect_to_read, url))
        self.engine = new_engine(url)
        self._worker = worker
        self._alive_every = alive_every
        self._clock = clock
        self._bell = bell
        self._connection: Connection | None = None
        self._pid = 0
        self._rows: RowWriter

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
        """Write rows in one transaction; see `Store.write`."""
        return self._do(lambda connection: self._rows.write(connection, openings, closings))

    def note(self, progress: Sequence[Progress]) -> None:
        """Say that this process lives, and what it has so far; see `Store.note`."""
        self._do(lambda connection: self._rows.note(connection, progress))

    def sweep(self, *, silent: float, every: float = 0.0) -> int | None:
        """Mark rows as lost; see `Store.sweep`."""
        return self._do(lambda connection: self._rows.sweep(connection, silent=silent, every=every))

    def ask(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Let something ask the database in one transaction; see `Upkeep.ask`."""

        def asked(connection: Connection) -> T:
            with connection.begin():
                return work(partial(ask, connection), dialect_of(connection), *args, **kwargs)

        if self._connection is None:
            self._see()  # what looks after rows makes no table, and no file
        return self._do(asked)

    def change(self, work: Callable[..., T], *args: Any) -> T:
        """Let something change the database in one transaction; see `Upkeep.change`."""

        def changed(connection: Connection) -> T:
            with connection.begin():
                lock(connection)
                return work(partial(ask, connection), dialect_of(connection), *args)

        return self._do(changed)

    def _do(self, work: Callable[[Connection], T]) -> T:
        """Do something over the connection, and again over a new one if it turns out to be broken."""
        if self._connection is not None and self._pid == os.getpid():
            try:
                return work(self._connection)
            except exc.SQLAlchemyError as error:
                if not _is_broken(error):
                    raise unavailable(error, self._url) from error
        connection = self._connect()
        try:
            return work(connection)
        except exc.SQLAlchemyError as error:
            if _is_broken(error):
                self.close()
            raise unavailable(error, self._url) from error

    def close(self) -> None:
        """Close the connection; in a child, let go of the parent's."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if self._pid != os.getpid():
            _inherited.append(connection)
            return
        with suppress(exc.SQLAlchemyError):
            connection.close()

    def _connect(self) -> Connection:
        self.close()
        self._pid = os.getpid()
        try:
            connection = self.engine.connect()
        except (exc.SQLAlchemyError, TypeError, ValueError) as error:  # the URL's options, too
            raise unavailable(error, self._url) from error
        try:
            set_up(connection)
            prepare(connection)
        except exc.SQLAlchemyError as error:
            with suppress(exc.SQLAlchemyError):
                connection.close()
            raise unavailable(error, self._url) from error
        worker = self._worker if isinstance(self._worker, str) else self._worker()
        self._rows = RowWriter(
            connection.dialect, worker, self._clock, self._alive_every, self._bell
        )
        self._connection = connection
        return connection


class EngineStore(TableReader, Upkeep):
    """Keeps rows in the table `llmkit_usage` over an engine of the host's: a connection of its pool for each write.

    Any thread may use it that may use the engine. Where the pool gives all of a thread one connection, as it does for a database
    in memory, a row is part of what the host does there.

    Args:
        engine: the host's, of SQLite or PostgreSQL.
        worker: gives the name of this process.
        bell: is told of limits of budgets that come near.

    Raises:
        ConfigError: the database is of another kind.
    """

    def __init__(
        self, engine: Engine, *, worker: Callable[[], str], bell: Bell | None = None
    ) -> None:
        # The parameters are a tuple, whatever the host's driver would rather have.
        styles = {"sqlite": "qmark", "postgresql": "format"}
        if engine.dialect.name not in styles:
            raise not_supported(engine.dialect.name)
        super().__init__(engine.url, engine.connect)
        self._engine = engine
        self._bell = bell
        self._worker = worker
        dialect: Any = type(engine.dialect)
        self._dialect: Dialect = dialect(paramstyle=styles[engine.dialect.name])
        self._rows: dict[str, RowWriter] = {}
        self._is_prepared = False
        # What reads before it writes, where all threads have one connection.
        self._one_at_a_time = threading.RLock()

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
        """Write rows in one transaction; see `Store.write`."""
        worker = f"{HOSTS}{self._worker()}"
        try:
            with self._engine.connect() as connection:
                if worker not in self._rows:
                    self._prepare(connection)
                    self._rows[worker] = RowWriter(self._dialect, worker, bell=self._bell)
                with self._one_at_a_time if has_holds(openings, closings) else nullcontext():
                    return self._rows[worker].write(connection, openings, closings, alone=False)
        except exc.SQLAlchemyError as error:
            raise unavailable(error, self._engine.url) from _showable(error)

    def note(self, progress: Sequence[Progress]) -> None:
        """Do nothing: a row over the host's connection is the host's, and is swept after a day."""

    def sweep(self, *, silent: float, every: float = 0.0) -> int | None:
        """Do nothing: nobody notes that they live."""
        return None

    def ask(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Let something ask the database in one transaction; see `Upkeep.ask`."""
        try:
            if not self._is_prepared:
                self._see()
                with self._engine.connect() as connection:
                    self._prepare(connection)
            with self._engine.begin() as connection:
                return work(partial(ask, connection), dialect_of(connection), *args, **kwargs)
        except exc.SQLAlchemyError as error:
            raise unavailable(error, self._engine.url) from _showable(error)

    def change(self, work: Callable[..., T], *args: Any) -> T:
        """Let something change the database in one transaction; see `Upkeep.change`."""
        with self._one_at_a_time:
            return self.ask(work, *args)

    def close(self) -> None:
        """Do nothing: the engine is the host's."""

    def _prepare(self, connection: Connection) -> None:
        try:
            prepare(connection, alone=False)
        except exc.DBAPIError:
            prepare(connection, alone=False)  # another one has done so meanwhile, or it fails again
        self._is_prepared = True


def _showable(error: exc.SQLAlchemyError) -> exc.SQLAlchemyError | None:
    """Return what an error came from, unless that quotes a row: an engine of the host's shows a statement's values."""
    return None if getattr(error, "statement", None) else error


def _is_broken(error: exc.SQLAlchemyError) -> bool:
    """Whether a new connection may help."""
    if not isinstance(error, exc.DBAPIError):
        return True
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code not in _BUSY_SQLITE and getattr(error.orig, "sqlstate", "") not in _BUSY_POSTGRES

"""The ledger in a SQL database: one connection, and its errors sorted by what helps."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, Dialect, Engine

from llmkit.ledger.database import (
    connect_to_read,
    database_url,
    file_of,
    new_engine,
    not_supported,
    set_up,
    shown,
    unavailable,
)
from llmkit.ledger.outbox.ledger import OutboxLedger
from llmkit.ledger.outbox.open import with_outbox
from llmkit.ledger.reading import TableReader
from llmkit.ledger.row import Closing, Opening, RowRejected
from llmkit.ledger.schema import metadata, usage
from llmkit.ledger.statements import Statement, closing_statement, opening_statement
from llmkit.ledger.writer import LedgerWriter

if TYPE_CHECKING:
    from llmkit.config import LedgerConfig

# Locked, or full: the time to wait has been spent, and a new connection would not help.
_BUSY_SQLITE = {5, 6, 13}  # SQLITE_BUSY, SQLITE_LOCKED, SQLITE_FULL
_BUSY_POSTGRES = {"55P03", "57014", "53100"}  # lock_timeout, statement_timeout, disk_full

_CREATE_LOCK = 0x6C6C6D6B6974  # "llmkit"

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
    return LedgerWriter(SQLStore(database_url(database), worker=worker))


def open_with_outbox(settings: LedgerConfig, *, worker: Callable[[], str]) -> OutboxLedger:
    """Make the ledger that the settings describe, in a database of its own. Nothing is opened before the first row.

    Raises:
        ConfigError: the URL of the database cannot be used.
    """
    url = database_url(settings.database or "")
    return with_outbox(
        SQLStore(url, worker=worker),
        SQLStore(url, worker=worker),
        settings,
        database=f"{shown(url)} {url.query.get('host', '')}",
        file=file_of(url),
        worker=worker,
    )


class SQLStore(TableReader):
    """Keeps rows in the table `llmkit_usage`, which it creates when it is missing.

    One thread uses it. The connection is made on the first write, and again after a fork; when it
    broke, once in a write.

    Args:
        url: of the database, from `database_url`.
        worker: the name of this process, or what gives it; asked for each connection.
    """

    def __init__(self, url: URL, *, worker: str | Callable[[], str]) -> None:
        super().__init__(url, partial(connect_to_read, url))
        self.engine = new_engine(url)
        self._worker = worker
        self._connection: Connection | None = None
        self._pid = 0
        self._statements: _Statements

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> None:
        """Write rows in one transaction; see `Store.write`."""
        if self._connection is not None and self._pid == os.getpid():
            try:
                self._statements.write(self._connection, openings, closings)
            except exc.SQLAlchemyError as error:
                if not _is_broken(error):
                    raise unavailable(error, self._url) from error
            else:
                return
        connection = self._connect()
        try:
            self._statements.write(connection, openings, closings)
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
            create_table(connection)
        except exc.SQLAlchemyError as error:
            with suppress(exc.SQLAlchemyError):
                connection.close()
            raise unavailable(error, self._url) from error
        worker = self._worker if isinstance(self._worker, str) else self._worker()
        self._statements = _Statements(connection.dialect, worker)
        self._connection = connection
        return connection


class EngineStore(TableReader):
    """Keeps rows in the table `llmkit_usage` over an engine of the host's: a connection of its pool for each write.

    Any thread may use it that may use the engine. Where the pool gives all of a thread one connection, as it does for a database
    in memory, a row is part of what the host does there.

    Args:
        engine: the host's, of SQLite or PostgreSQL.
        worker: gives the name of this process.

    Raises:
        ConfigError: the database is of another kind.
    """

    def __init__(self, engine: Engine, *, worker: Callable[[], str]) -> None:
        # The parameters are a tuple, whatever the host's driver would rather have.
        styles = {"sqlite": "qmark", "postgresql": "format"}
        if engine.dialect.name not in styles:
            raise not_supported(engine.dialect.name)
        super().__init__(engine.url, engine.connect)
        self._engine = engine
        self._worker = worker
        dialect: Any = type(engine.dialect)
        self._dialect: Dialect = dialect(paramstyle=styles[engine.dialect.name])
        self._statements: dict[str, _Statements] = {}

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> None:
        """Write rows in one transaction; see `Store.write`."""
        worker = self._worker()
        try:
            with self._engine.connect() as connection:
                if worker not in self._statements:
                    self._create_table(connection)
                    self._statements[worker] = _Statements(self._dialect, worker)
                self._statements[worker].write(connection, openings, closings)
        except exc.SQLAlchemyError as error:
            raise unavailable(error, self._engine.url) from error

    def close(self) -> None:
        """Do nothing: the engine is the host's."""

    def _create_table(self, connection: Connection) -> None:
        # No lock as in create_table: the connection may be in the midst of a transaction of the host's.
        try:
            with connection.begin():
                metadata.create_all(connection)
        except exc.DBAPIError:
            with connection.begin():  # ended, for the rows begin one of their own
                if sa.inspect(connection).has_table(usage.name):
                    return
            raise


class _Statements:
    """The two statements, for one dialect and worker."""

    def __init__(self, dialect: Dialect, worker: str) -> None:
        self._insert: Statement[Opening] = opening_statement(dialect, worker)
        self._update: Statement[Closing] = closing_statement(dialect)

    def write(
        self, connection: Connection, openings: Sequence[Opening], closings: Sequence[Closing]
    ) -> None:
        """Write rows in one transaction.

        Raises:
            RowRejected: one of the rows is at fault.
            SQLAlchemyError: the database is.
        """
        try:
            inserts = [self._insert.parameters(opening) for opening in openings]
            updates = [self._update.parameters(closing) for closing in closings]
            with connection.begin():
                if inserts:
                    connection.exec_driver_sql(self._insert.sql, inserts)
                if updates:
                    connection.exec_driver_sql(self._update.sql, updates)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise _rejected(error) from error
        except exc.DBAPIError as error:
            if _is_of_row(error):
                raise _rejected(error) from error
            raise


def create_table(connection: Connection) -> None:
    """Create the ledger's table if it is not there, whoever else is about to do so."""
    with connection.begin():
        if sa.inspect(connection).has_table(usage.name):
            return
    with connection.begin():
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATE_LOCK)))
        metadata.create_all(connection)


def _is_broken(error: exc.SQLAlchemyError) -> bool:
    """Whether a new connection may help."""
    if not isinstance(error, exc.DBAPIError):
        return True
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code not in _BUSY_SQLITE and getattr(error.orig, "sqlstate", "") not in _BUSY_POSTGRES


def _is_of_row(error: exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return False
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return True
    # A value that the driver cannot send; with a SQLSTATE it is the server's, of a table that is
    # gone or may not be written.
    is_drivers = getattr(error.orig, "sqlstate", None) is None
    return isinstance(error, exc.ProgrammingError | exc.InterfaceError) and is_drivers


def _rejected(error: Exception) -> RowRejected:
    cause = getattr(error, "orig", None) or error
    return RowRejected(
        f"the ledger's database refused a row ({type(cause).__name__})",
        hint="One of its values does not fit its column.",
    )

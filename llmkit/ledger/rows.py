"""Rows, written over a connection of SQLAlchemy's; a fault of a row is told from one of the database's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from sqlalchemy import exc
from sqlalchemy.engine import Connection, Dialect

from llmkit.budget.bell import Bell
from llmkit.ledger.accounts import Accounts
from llmkit.ledger.budgeted_rows import has_holds, once, write_rows
from llmkit.ledger.database import lock
from llmkit.ledger.liveness import Liveness
from llmkit.ledger.reading import ask, dialect_of
from llmkit.ledger.row import Closing, Opening, Progress, Refusals, RowRejected
from llmkit.ledger.run import ALIVE_EVERY
from llmkit.ledger.statements import (
    Statement,
    closing_statement,
    opening_statement,
    progress_statement,
)


class RowWriter:
    """The statements, for one dialect and worker. Without a clock it is not noted that the worker lives."""

    def __init__(
        self,
        dialect: Dialect,
        worker: str,
        clock: Callable[[], float] | None = None,
        alive_every: float = ALIVE_EVERY,
        bell: Bell | None = None,
    ) -> None:
        self._insert: Statement[Opening] = opening_statement(dialect, worker)
        self._update: Statement[Closing] = closing_statement(dialect)
        self._note: Statement[Progress] = progress_statement(dialect)
        self._liveness = Liveness(worker)
        self._accounts = Accounts(bell=bell)
        self._clock = clock
        self._alive_every = alive_every
        self._noted_at: float | None = None

    def write(
        self,
        connection: Connection,
        openings: Sequence[Opening],
        closings: Sequence[Closing],
        *,
        alone: bool = True,
    ) -> Refusals:
        """Write rows in one transaction.

        Args:
            connection: over which.
            openings: rows that are new.
            closings: the ends of rows.
            alone: whether to lock others out where budgets ask for it. Not over a connection of the host's, which may be in the midst of
                something.

        Returns:
            The rows that a budget had no room for.

        Raises:
            RowRejected: one of the rows is at fault.
            SQLAlchemyError: the database is.
        """
        return once(
            lambda again: self._write(connection, openings, closings, alone=alone, again=again)
        )

    def _write(
        self,
        connection: Connection,
        openings: Sequence[Opening],
        closings: Sequence[Closing],
        *,
        alone: bool,
        again: bool,
    ) -> Refusals:
        with _errors_of_rows():
            refused: Refusals = {}
            notes_at = self._due() if openings else None
            holds = has_holds(openings, closings)
            with self._accounts.telling(), connection.begin():
                if holds and alone:
                    lock(connection)
                if notes_at is not None:
                    # In the same transaction: a row whose process is not known to live could be swept up at once.
                    self._liveness.note(connection)
                insert, update = partial(self._begin, connection), partial(self._close, connection)
                if holds:
                    run, dialect = partial(ask, connection), dialect_of(connection)
                    change = partial(self._accounts.change, run, dialect, again=again)
                    refused = write_rows(change, openings, closings, insert=insert, update=update)
                else:
                    insert(openings)
                    update(closings)
        if notes_at is not None:
            self._noted_at = notes_at
        return refused

    def _begin(self, connection: Connection, openings: Sequence[Opening]) -> None:
        if openings:
            parameters = [self._insert.parameters(opening) for opening in openings]
            connection.exec_driver_sql(self._insert.sql, parameters)

    def _close(self, connection: Connection, closings: Sequence[Closing]) -> None:
        if closings:
            parameters = [self._update.parameters(closing) for closing in closings]
            connection.exec_driver_sql(self._update.sql, parameters)

    def note(self, connection: Connection, progress: Sequence[Progress]) -> None:
        """Say that this process lives, and what its open rows have so far.

        Raises:
            RowRejected: one of them is at fault.
            SQLAlchemyError: the database is.
        """
        with _errors_of_rows():
            updates = [self._note.parameters(row) for row in progress]
            with connection.begin():
                self._liveness.note(connection)
                if updates:
                    connection.exec_driver_sql(self._note.sql, updates)
        self._noted_at = self._clock() if self._clock is not None else None

    def sweep(self, connection: Connection, *, silent: float, every: float) -> int | None:
        """Mark rows as lost.

        Raises:
            SQLAlchemyError: the database is at fault.
        """
        with self._accounts.telling(), connection.begin():
            lock(connection)
            lost = self._liveness.sweep(connection, silent=silent, every=every)
            if lost is not None:
                self._accounts.sweep(partial(ask, connection), dialect_of(connection))
            return lost

    def _due(self) -> float | None:
        """Return the time if it is time to say that this process lives."""
        if self._clock is None:
            return None
        now = self._clock()
        is_due = self._noted_at is None or now - self._noted_at >= self._alive_every
        return now if is_due else None


def _is_of_row(error: exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return False
    if isinstance(error, exc.IntegrityError | exc.DataError):
        return True
    # A value that the driver cannot send; with a SQLSTATE it is the server's, of a table that is
    # gone or may not be written.
    is_drivers = getattr(error.orig, "sqlstate", None) is None
    return isinstance(error, exc.ProgrammingError | exc.InterfaceError) and is_drivers


@contextmanager
def _errors_of_rows() -> Iterator[None]:
    """Tell a fault of a row from one of the database's.

    Raises:
        RowRejected: one of the rows is at fault.
    """
    try:
        yield
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _rejected(error) from None  # its message may quote the row
    except exc.DBAPIError as error:
        if _is_of_row(error):
            raise _rejected(error) from None  # its message may quote the row
        raise


def _rejected(error: Exception) -> RowRejected:
    cause = getattr(error, "orig", None) or error
    return RowRejected(
        f"the ledger's database refused a row ({type(cause).__name__})",
        hint="One of its values does not fit its column.",
    )

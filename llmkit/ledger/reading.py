"""The ledger's table, read over connections of SQLAlchemy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection

from llmkit.errors import LedgerUnavailable
from llmkit.ledger import queries
from llmkit.ledger.base import NoLedgerYet
from llmkit.ledger.database import shown, unavailable
from llmkit.ledger.queries import Dialect, Query
from llmkit.ledger.schema import UTCDateTime, usage
from llmkit.ledger.selection import EVERYTHING, Selection
from llmkit.ledger.sums import Key, Sum


class TableReader:
    """The half of a store that reads; see `Store`.

    Args:
        url: of the database.
        connect: opens a connection to read over.
    """

    def __init__(self, url: URL, connect: Callable[[], Connection]) -> None:
        self._url = url
        self._connect_to_read = connect

    def recent(self, limit: int, selection: Selection = EVERYTHING) -> list[dict[str, Any]]:
        """Read the latest rows, the newest first, by column name; see `Store`."""
        with self._reading() as connection:
            found = ask(connection, queries.latest(dialect_of(connection), selection, limit))
            rows: list[dict[str, Any]] = []
            for ids in queries.parts([row[0] for row in found]):
                clause = sa.select(usage).where(usage.c.id.in_(ids)).order_by(usage.c.id.desc())
                rows += (dict(row) for row in connection.execute(clause).mappings())
            return rows

    def sums(
        self,
        by: Sequence[str] = (),
        selection: Selection = EVERYTHING,
        *,
        zone: tzinfo = UTC,
    ) -> dict[Key, Sum]:
        """Add rows up; see `Store`."""
        with self._reading() as connection:
            dialect = dialect_of(connection)
            found = ask(connection, queries.sums(dialect, by, selection))
            return queries.read_sums(dialect, by, found, zone)

    def _see(self) -> None:
        """See that there is a ledger.

        Raises:
            NoLedgerYet: there is none.
            LedgerUnavailable: the database does not serve.
        """
        with self._connected():
            pass

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._connected() as connection:
            there = {column["name"] for column in sa.inspect(connection).get_columns(usage.name)}
            if not {column.name for column in usage.columns} <= there:
                raise LedgerUnavailable(
                    f"the table {usage.name} in {shown(self._url)} is of an earlier version of llmkit",
                    hint="The next call brings it up to date, or llmkit sweep; in Django, manage.py migrate.",
                )
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._connect_to_read() as connection:
                if not sa.inspect(connection).has_table(usage.name):
                    raise NoLedgerYet(
                        f"the database {shown(self._url)} has no table {usage.name}",
                        hint="The first call creates it. Or choose another database.",
                    )
                yield connection
        except exc.SQLAlchemyError as error:
            raise unavailable(error, self._url) from error


def dialect_of(connection: Connection) -> Dialect:
    """Say how the database behind a connection is spoken to."""
    speaks = connection.dialect

    def moment(value: datetime) -> Any:
        return UTCDateTime().process_bind_param(value, speaks)

    return Dialect("sqlite" if speaks.name == "sqlite" else "postgresql", moment)


def ask(connection: Connection, query: Query) -> Sequence[Sequence[Any]]:
    """Run a statement as it is; return its rows, or how many it has changed."""
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    found = connection.exec_driver_sql(query.sql.replace("%s", mark), query.parameters)
    return found.all() if found.returns_rows else [(found.rowcount,)]

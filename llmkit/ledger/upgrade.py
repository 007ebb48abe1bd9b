"""The ledger's tables are made, and brought up to this version, by whoever connects first."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateColumn

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.database import lock
from llmkit.ledger.schema import metadata, usage

_LOCK = 0x6C6C6D6B6974  # "llmkit"


def prepare(connection: Connection, *, alone: bool = True) -> None:
    """Create what is missing of the tables, and add the columns that a later version has.

    A table that an earlier version made keeps its rows: what is added may be NULL.

    Args:
        connection: without an open transaction; this one begins and commits its own.
        alone: whether to lock others out who are about to do the same. Not over a connection of the host's, which may be in the midst of
            something.

    Raises:
        LedgerUnavailable: the tables are Django's, which has not migrated them yet.
    """
    with connection.begin():
        if not list(_missing(connection)):
            return
    with connection.begin():
        if alone:
            lock(connection)
        if alone and connection.dialect.name != "sqlite":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        missing = list(_missing(connection))
        if missing and _is_djangos(connection):
            raise LedgerUnavailable(
                "the ledger's tables are Django's, and of an earlier version",
                hint="Run manage.py migrate.",
            )
        for thing in missing:
            if isinstance(thing, sa.Column):
                # There is no statement of SQLAlchemy's for it.
                said = CreateColumn(thing).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {thing.table.name} ADD COLUMN {said}")
            else:
                thing.create(connection)


def _missing(connection: Connection) -> Iterator[sa.Table | sa.Column[object] | sa.Index]:
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    for table in metadata.sorted_tables:
        if table.name not in there:
            yield table
            continue
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        yield from (column for column in table.columns if column.name not in columns)
        indexes = {index["name"] for index in inspector.get_indexes(table.name)}
        yield from (index for index in table.indexes if index.name not in indexes)


def _is_djangos(connection: Connection) -> bool:
    inspector = sa.inspect(connection)
    if not inspector.has_table(usage.name):
        return False
    return any(column["name"] == "user_id" for column in inspector.get_columns(usage.name))

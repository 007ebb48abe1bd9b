"""The statements of the ledger, compiled once, with a row as one tuple."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from llmkit.ledger.columns import SIZES, UNIQUE
from llmkit.ledger.row import Closing, Opening, Progress
from llmkit.ledger.schema import usage
from llmkit.ledger.values import (
    CLOSING,
    FOREIGN,
    OPEN,
    OPENING,
    PROGRESS,
    fit,
    fit_column,
    fit_tags,
)

Row = TypeVar("Row", Opening, Closing, Progress)

# Parameters to attribute; those of a closing that say which row it is have names of their own.
_ROW = {"row_call_id": "call_id", "row_attempt": "attempt"}
_CLOSING = {**_ROW, **CLOSING}
_PROGRESS = {**_ROW, **PROGRESS}


class Statement(Generic[Row]):
    """A statement, compiled, and what turns a row into its parameters.

    The conversions are those of the column types. They are called here, since SQLAlchemy's own way
    to them costs more than the rest of the row.
    """

    def __init__(
        self, clause: sa.Insert | sa.Update, paths: Mapping[str, str], dialect: Dialect
    ) -> None:
        compiled = clause.compile(dialect=dialect)
        self.sql = str(compiled)
        names = compiled.positiontup or ()
        columns = [usage.c[name.removeprefix("row_")] for name in names]
        self._get = attrgetter(*(paths[name] for name in names))
        self._strings = [
            (place, column.name) for place, column in enumerate(columns) if column.name in FOREIGN
        ]
        self._others: list[tuple[int, Callable[[Any], Any]]] = []
        for place, column in enumerate(columns):
            process = column.type.dialect_impl(dialect).bind_processor(dialect)
            if column.name == "tags":
                self._others.append((place, _tags_by(process)))
            elif process is not None:
                self._others.append((place, process))

    def parameters(self, row: Row) -> tuple[Any, ...]:
        """Return the parameters for one row.

        Raises:
            TypeError, ValueError, AttributeError: a value is not what its column takes.
        """
        values = list(self._get(row))
        for place, process in self._others:
            values[place] = process(values[place])
        for place, name in self._strings:
            values[place] = fit_column(name, values[place])
        return tuple(values)


def _tags_by(process: Callable[[Any], Any] | None) -> Callable[[Mapping[str, str]], Any]:
    to_json = process or dict
    none: Any = to_json({})

    def convert(tags: Mapping[str, str]) -> Any:  # what the driver takes for JSON
        if not tags:
            return none
        return to_json(fit_tags(tags))

    return convert


def opening_statement(dialect: Dialect, worker: str) -> Statement[Opening]:
    """Make the statement that inserts a row as `started`."""
    insert = sqlite.insert if dialect.name == "sqlite" else postgresql.insert
    name = fit(worker, SIZES["worker"]).replace("'", "''")
    clause = (
        insert(usage)
        .values({column: sa.bindparam(column) for column in OPENING})
        .values(
            status=sa.literal_column("'started'"),
            output_source=sa.literal_column("'unknown'"),
            worker=sa.func.coalesce(sa.bindparam("worker"), sa.literal_column(f"'{name}'")),
        )
        # A group that is retried may have been committed already.
        .on_conflict_do_nothing(index_elements=UNIQUE)
    )
    return Statement(clause, OPENING, dialect)


def closing_statement(dialect: Dialect) -> Statement[Closing]:
    """Make the statement that closes a row, unless it is closed."""
    return Statement(_update(CLOSING, OPEN), _CLOSING, dialect)


def progress_statement(dialect: Dialect) -> Statement[Progress]:
    """Make the statement that says what an open row has so far. One that is lost may still be open: its process says so."""
    return Statement(_update(PROGRESS, OPEN), _PROGRESS, dialect)


def _update(columns: Iterable[str], statuses: Iterable[str]) -> sa.Update:
    words: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{word}'") for word in statuses]
    return (
        sa.update(usage)
        .values({name: sa.bindparam(name) for name in columns})
        .where(
            usage.c.call_id == sa.bindparam("row_call_id"),
            usage.c.attempt == sa.bindparam("row_attempt"),
            usage.c.status.in_(words),
        )
    )

"""The ledger's table for SQLAlchemy, made from the one list of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from llmkit.ledger.columns import (
    BUDGET_COLUMNS,
    BUDGET_TABLE,
    COLUMNS,
    DECIMAL_DIGITS,
    DECIMAL_PLACES,
    HOLD_COLUMNS,
    HOLD_TABLE,
    INDEXES,
    TABLE,
    UNIQUE,
    WORKER_COLUMNS,
    WORKER_TABLE,
    Column,
)
from llmkit.ledger.values import exact


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal that keeps all its digits on SQLite too, which has none: there it is text.

    It also reads the numbers that Django leaves in a SQLite column of its own.
    """

    impl = sa.Numeric(DECIMAL_DIGITS, DECIMAL_PLACES)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type: text on SQLite, numeric elsewhere."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.String(DECIMAL_DIGITS + 2))
        return dialect.type_descriptor(sa.Numeric(DECIMAL_DIGITS, DECIMAL_PLACES))

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | str | None:
        """Turn a Decimal into what the database takes."""
        if value is None or dialect.name != "sqlite":
            return value
        return format(exact(value), "f")

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        """Turn what the database holds into a Decimal."""
        return None if value is None else exact(value)


class UTCDateTime(TypeDecorator[datetime]):
    """A moment: takes times of any zone, gives UTC.

    SQLite has no such type; there it is the text that SQLAlchemy and Django write too, in UTC.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type: text on SQLite, a timestamp with time zone elsewhere."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.String(len("2026-01-01 00:00:00.000000")))
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        """Turn a moment into what the database takes.

        Raises:
            ValueError: the time has no zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs a time zone")
        if dialect.name != "sqlite":
            return value
        if value.tzinfo is not UTC:
            value = value.astimezone(UTC)
        return value.isoformat(" ", "microseconds")[:26]

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Turn what the database holds into a moment in UTC."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return datetime.fromisoformat(value).replace(tzinfo=UTC)
        return value.astimezone(UTC)  # type: ignore[no-any-return]  # drivers are not typed


def _type(column: Column) -> TypeEngine[Any]:
    match column.kind:
        case "id":
            return sa.BigInteger().with_variant(
                sa.Integer(), "sqlite"
            )  # only INTEGER counts up by itself there
        case "string":
            return sa.String(column.size)
        case "text":
            return sa.Text()
        case "integer":
            return sa.Integer()
        case "bigint":
            return sa.BigInteger()
        case "boolean":
            return sa.Boolean()
        case "decimal":
            return ExactDecimal()
        case "datetime":
            return UTCDateTime()
        case "json":
            return sa.JSON(none_as_null=True)
        case _:
            assert_never(column.kind)


def _columns(columns: Sequence[Column]) -> Iterator[sa.Column[Any]]:
    for column in columns:
        yield sa.Column(column.name, _type(column), primary_key=column.key, nullable=column.null)


metadata = sa.MetaData()
usage = sa.Table(
    TABLE,
    metadata,
    *_columns(COLUMNS),
    sa.UniqueConstraint(*UNIQUE, name=f"{TABLE}_call"),
    *(sa.Index(f"{TABLE}_{'_'.join(names)}", *names) for names in INDEXES),
)
workers = sa.Table(WORKER_TABLE, metadata, *_columns(WORKER_COLUMNS))
budgets = sa.Table(BUDGET_TABLE, metadata, *_columns(BUDGET_COLUMNS))
holds = sa.Table(HOLD_TABLE, metadata, *_columns(HOLD_COLUMNS))

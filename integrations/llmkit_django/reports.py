"""The ledger, read over Django's connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Aggregate, BigIntegerField, Func, QuerySet
from django.utils import timezone

from llmkit.ledger import queries
from llmkit.ledger.columns import COLUMNS, DECIMAL_PLACES, UNITS
from llmkit.ledger.queries import Dialect, Query
from llmkit.ledger.selection import EVERYTHING, Selection
from llmkit.ledger.sums import Key, Sum
from llmkit.usage import EXACT
from llmkit_django.models import UsageRecord

_NAMES = tuple(column.name for column in COLUMNS)


def recent(limit: int, selection: Selection = EVERYTHING) -> list[dict[str, Any]]:
    """Return the latest rows, the newest first, by column name; times in UTC."""
    connection = _connection()
    found = ask(connection, queries.latest(dialect_of(connection), selection, limit))
    rows: list[dict[str, Any]] = []
    for ids in queries.parts([row[0] for row in found]):
        part = UsageRecord._base_manager.filter(pk__in=ids)  # noqa: SLF001  # documented
        rows += part.order_by("-id").values(*_NAMES)
    return [{name: _in_utc(value) for name, value in row.items()} for row in rows]


def sums(by: Sequence[str], selection: Selection, zone: tzinfo) -> dict[Key, Sum]:
    """Add rows up; see `Reader.sums`."""
    connection = _connection()
    dialect = dialect_of(connection)
    found = ask(connection, queries.sums(dialect, by, selection))
    return queries.read_sums(dialect, by, found, zone)


def ask(connection: BaseDatabaseWrapper, query: Query) -> list[Sequence[Any]]:
    """Run a statement as it is; return its rows, or how many it has changed."""
    with connection.cursor() as cursor:
        cursor.execute(query.sql, query.parameters)
        return cursor.fetchall() if cursor.description else [(cursor.rowcount,)]


def dialect_of(connection: BaseDatabaseWrapper) -> Dialect:
    """Say how the project's database is spoken to. With USE_TZ=False SQLite has the project's own time."""
    is_sqlite = connection.vendor == "sqlite"
    return Dialect(
        "sqlite" if is_sqlite else "postgresql",
        partial(_moment, connection),
        _from_local if is_sqlite and not settings.USE_TZ else lambda moment: moment,
    )


def _moment(connection: BaseDatabaseWrapper, moment: datetime) -> Any:
    if not settings.USE_TZ:
        moment = timezone.make_naive(moment, timezone.get_default_timezone())
    return connection.ops.adapt_datetimefield_value(moment)


def _from_local(moment: datetime) -> datetime:
    return timezone.make_aware(moment.replace(tzinfo=None), timezone.get_default_timezone())  # type: ignore[no-any-return]


def _connection() -> BaseDatabaseWrapper:
    return connections[router.db_for_read(UsageRecord)]


def sum_of(rows: QuerySet[UsageRecord], column: str) -> dict[str, Aggregate]:
    """Return the aggregates that add up the dollars in a column exactly; `dollars` reads what they find.

    SQLite adds up decimals as floats. There whole units of the last place are added, the whole dollars and the rest by themselves, for all
    units of a large ledger together are more than its integers hold.
    """
    if connections[rows.db].vendor != "sqlite":
        return {f"sum_of_{column}": models.Sum(column)}
    return {
        f"sum_of_{column}": models.Sum(_Units(column, part="/")),
        f"rest_of_{column}": models.Sum(_Units(column, part="%%")),
    }


def dollars(found: Mapping[str, Any], column: str) -> Decimal:
    """Return what the aggregates of `sum_of` have found."""
    rest = EXACT.scaleb(Decimal(found.get(f"rest_of_{column}") or 0), -DECIMAL_PLACES)
    return EXACT.add(Decimal(found[f"sum_of_{column}"] or 0), rest)


class _Units(Func):
    """A cost in whole units of the last place: how many dollars they make, or what is left over."""

    template = f"(CAST(ROUND(%(expressions)s * {UNITS}) AS INTEGER) %(part)s {UNITS})"
    output_field = BigIntegerField()


def _in_utc(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    if timezone.is_naive(value):  # with USE_TZ=False
        value = timezone.make_aware(value, timezone.get_default_timezone())
    return value.astimezone(UTC)

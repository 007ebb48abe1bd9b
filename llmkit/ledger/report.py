"""The ledger for people: its latest rows, and what they cost together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection

from llmkit.errors import LedgerUnavailable
from llmkit.ledger import text
from llmkit.ledger.columns import DECIMAL_PLACES, UNITS
from llmkit.ledger.database import database_url, new_engine, shown, unavailable
from llmkit.ledger.schema import usage
from llmkit.ledger.sums import NOTHING, Sum, Totals


class NoLedgerYet(LedgerUnavailable):
    """The database, or the table in it, is not there: the first call creates both."""


def usage_text(database: str, limit: int, *, as_json: bool) -> str:
    """Write the latest rows as a table with the total cost of all rows, or as JSON. Before the first call there are none.

    Raises:
        ConfigError: the URL cannot be used.
        LedgerUnavailable: the ledger cannot be read.
    """
    try:
        rows = recent(database, limit)
        return text.as_json(rows) if as_json else text.as_table(rows, totals(database))
    except NoLedgerYet as error:
        if as_json:
            return text.as_json([])
        # Whoever looks into the wrong place has to see it.
        said = str(error)
        return f"{text.as_table([], NOTHING)}\n{said[0].upper()}{said[1:]}"


def recent(database: str, limit: int) -> list[dict[str, Any]]:
    """Read the latest rows, the newest first, by column name.

    Raises:
        ConfigError: the URL cannot be used.
        NoLedgerYet: there is none before the first call.
        LedgerUnavailable: it cannot be read.
    """
    with _reading(database) as connection:
        rows = connection.execute(sa.select(usage).order_by(usage.c.id.desc()).limit(limit))
        return [dict(row) for row in rows.mappings()]


def totals(database: str) -> Totals:
    """Add up all rows.

    Raises:
        ConfigError: the URL cannot be used.
        NoLedgerYet: there is none before the first call.
        LedgerUnavailable: it cannot be read.
    """
    keys = (usage.c.provider, usage.c.model, usage.c.status)
    known = sa.func.count(usage.c.cost_usd)
    with _reading(database) as connection:
        calls = connection.execute(
            sa.select(sa.func.count(usage.c.call_id.distinct()))
        ).scalar_one()
        rows = connection.execute(
            sa.select(*keys, sa.func.count(), known, *_cost_parts()).group_by(*keys).order_by(*keys)
        )
        groups = {
            (provider, model, status): Sum(
                rows=count, cost=_dollars(*parts), unknown=count - priced
            )
            for provider, model, status, count, priced, *parts in rows
        }
    return Totals(
        calls=calls,
        rows=sum(group.rows for group in groups.values()),
        cost=sum((group.cost for group in groups.values()), Decimal(0)),
        unknown=sum(group.unknown for group in groups.values()),
        groups=groups,
    )


def _cost_parts() -> tuple[sa.ColumnElement[int], sa.ColumnElement[int]]:
    """Sum in whole units of the last place, since SQLite adds up all else in floating point.

    The whole dollars and what is left over by themselves: all units of a large ledger together are more than SQLite's integers hold.
    """
    dollar: sa.ColumnElement[int] = sa.literal_column(str(UNITS))
    units = sa.cast(
        sa.func.round(sa.type_coerce(usage.c.cost_usd, sa.Numeric) * dollar), sa.BigInteger
    )
    # The databases' own division of whole numbers: SQLAlchemy's calls a function of Python's for each row.
    return sa.func.sum(units.op("/")(dollar)), sa.func.sum(units.op("%")(dollar))


def _dollars(whole: int | Decimal | None, rest: int | Decimal | None) -> Decimal:
    return int(whole or 0) + Decimal(int(rest or 0)).scaleb(-DECIMAL_PLACES)


@contextmanager
def _reading(database: str) -> Iterator[Connection]:
    url = database_url(database)
    engine = new_engine(_read_only(url))
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(usage.name):
                raise NoLedgerYet(
                    f"the database {shown(url)} has no table {usage.name}",
                    hint="The first call creates it. Or choose another database.",
                )
            yield connection
    except exc.SQLAlchemyError as error:
        raise unavailable(error, url) from error


def _read_only(url: URL) -> URL:
    """Open a SQLite file so that reading does not create it."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith("file:"):
        return url
    path = Path(url.database)
    if not path.is_file():
        raise NoLedgerYet(
            f"there is no database {path}",
            hint="The first call creates it. Or choose another file.",
        )
    return URL.create("sqlite", database=path.as_uri(), query={"mode": "ro", "uri": "true"})

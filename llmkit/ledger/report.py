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
from llmkit.ledger.columns import DECIMAL_PLACES
from llmkit.ledger.database import database_url, new_engine, shown, unavailable
from llmkit.ledger.schema import usage
from llmkit.ledger.sums import Sum, Totals


def usage_text(database: str, limit: int, *, as_json: bool) -> str:
    """Write the latest rows as a table, and what all rows cost; or the rows as JSON.

    Raises:
        ConfigError: the URL does not serve.
        LedgerUnavailable: there is no ledger, or it cannot be read.
    """
    rows = recent(database, limit)
    return text.as_json(rows) if as_json else text.as_table(rows, totals(database))


def recent(database: str, limit: int) -> list[dict[str, Any]]:
    """Read the latest rows, the newest first, by column name.

    Raises:
        ConfigError: the URL does not serve.
        LedgerUnavailable: there is no ledger, or it cannot be read.
    """
    with _reading(database) as connection:
        rows = connection.execute(sa.select(usage).order_by(usage.c.id.desc()).limit(limit))
        return [dict(row) for row in rows.mappings()]


def totals(database: str) -> Totals:
    """Add up all rows.

    Raises:
        ConfigError: the URL does not serve.
        LedgerUnavailable: there is no ledger, or it cannot be read.
    """
    keys = (usage.c.provider, usage.c.model, usage.c.status)
    known = sa.func.count(usage.c.cost_usd)
    with _reading(database) as connection:
        calls = connection.execute(
            sa.select(sa.func.count(usage.c.call_id.distinct()))
        ).scalar_one()
        rows = connection.execute(
            sa.select(*keys, sa.func.count(), known, _cost_in_units())
            .group_by(*keys)
            .order_by(*keys)
        )
        groups = {
            (provider, model, status): Sum(rows=count, cost=_dollars(units), unknown=count - priced)
            for provider, model, status, count, priced, units in rows
        }
    return Totals(
        calls=calls,
        rows=sum(group.rows for group in groups.values()),
        cost=sum((group.cost for group in groups.values()), Decimal(0)),
        unknown=sum(group.unknown for group in groups.values()),
        groups=groups,
    )


def _cost_in_units() -> sa.ColumnElement[int]:
    """Sum in whole units of the last place, since SQLite adds up all else in floating point."""
    units = sa.type_coerce(usage.c.cost_usd, sa.Numeric) * sa.literal_column(
        str(10**DECIMAL_PLACES)
    )
    return sa.func.sum(sa.cast(sa.func.round(units), sa.BigInteger))


def _dollars(units: int | Decimal | None) -> Decimal:
    return Decimal(int(units or 0)).scaleb(-DECIMAL_PLACES)


@contextmanager
def _reading(database: str) -> Iterator[Connection]:
    url = database_url(database)
    engine = new_engine(_read_only(url))
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table(usage.name):
                raise LedgerUnavailable(
                    f"the database {shown(url)} has no table {usage.name}",
                    hint="It is created with the first call; or name another database.",
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
        raise LedgerUnavailable(
            f"there is no database {path}",
            hint="It is created with the first call; or name another file.",
        )
    return URL.create("sqlite", database=path.as_uri(), query={"mode": "ro", "uri": "true"})

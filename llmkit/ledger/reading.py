"""The ledger's table, read over connections of SQLAlchemy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection

from llmkit.ledger.columns import DECIMAL_PLACES, UNITS
from llmkit.ledger.database import NoLedgerYet, shown, unavailable
from llmkit.ledger.schema import usage
from llmkit.ledger.sums import Sum, Totals


class TableReader:
    """The half of a store that reads; see `Store`.

    Args:
        url: of the database.
        connect: opens a connection to read over.
    """

    def __init__(self, url: URL, connect: Callable[[], Connection]) -> None:
        self._url = url
        self._connect_to_read = connect

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """Read the latest rows, the newest first, by column name; see `Store`."""
        with self._reading() as connection:
            rows = connection.execute(sa.select(usage).order_by(usage.c.id.desc()).limit(limit))
            return [dict(row) for row in rows.mappings()]

    def totals(self) -> Totals:
        """Add up all rows; see `Store`."""
        keys = (usage.c.provider, usage.c.model, usage.c.status)
        known = sa.func.count(usage.c.cost_usd)
        with self._reading() as connection:
            calls = connection.execute(
                sa.select(sa.func.count(usage.c.call_id.distinct()))
            ).scalar_one()
            rows = connection.execute(
                sa.select(*keys, sa.func.count(), known, *_cost_parts())
                .group_by(*keys)
                .order_by(*keys)
            )
            groups = {
                (provider, model, status): Sum(
                    rows=count, cost=_dollars(*parts), unknown=count - priced
                )
                for provider, model, status, count, priced, *parts in rows
            }
        return Totals.of(calls, groups)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
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

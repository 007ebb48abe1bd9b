"""The ledger for people: its latest rows, and what they cost together."""

from __future__ import annotations

from typing import Any

from llmkit.ledger import text
from llmkit.ledger.database import NoLedgerYet, database_url
from llmkit.ledger.sql import SQLStore
from llmkit.ledger.sums import NOTHING, Totals


def usage_text(database: str, limit: int, *, as_json: bool) -> str:
    """Write the latest rows as a table with the total cost of all rows, or as JSON. Before the first call there are none.

    Raises:
        ConfigError: the URL cannot be used.
        LedgerUnavailable: the ledger cannot be read.
    """
    store = _store(database)
    try:
        rows = store.recent(limit)
        return text.as_json(rows) if as_json else text.as_table(rows, store.totals())
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
    return _store(database).recent(limit)


def totals(database: str) -> Totals:
    """Add up all rows.

    Raises:
        ConfigError: the URL cannot be used.
        NoLedgerYet: there is none before the first call.
        LedgerUnavailable: it cannot be read.
    """
    return _store(database).totals()


def _store(database: str) -> SQLStore:
    return SQLStore(database_url(database), worker="")

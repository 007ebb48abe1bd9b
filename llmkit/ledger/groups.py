"""How a group of rows goes into the store: all at once, and each by itself where one of them is at fault."""

from __future__ import annotations

import logging

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Sink
from llmkit.ledger.entry import Entry, Written
from llmkit.ledger.row import RowRejected, reduced

logger = logging.getLogger("llmkit.ledger")


def write_group(store: Sink, group: list[Entry]) -> Written:
    """Write entries in one transaction, so that a bad row harms no other. Raises nothing."""
    error = _try(store, group)
    if isinstance(error, RowRejected):
        return _one_by_one(store, group)
    return [(entry, error) for entry in group]


def _one_by_one(store: Sink, group: list[Entry]) -> Written:
    """Write each entry by itself, until the store fails.

    A closing that the store refuses is written without its figures, so that no row stays open for them.
    """
    results: Written = []
    down: LedgerUnavailable | None = None
    for entry in group:
        error = down or _try(store, [entry])
        if isinstance(error, RowRejected) and entry.closing is not None:
            bare = Entry(entry.opening, reduced(entry.closing))
            if (still := _try(store, [bare])) is None:
                logger.error("a row was closed without its token counts and cost: %s", error)
            error = still
        if error is not None and not isinstance(error, RowRejected):
            down = error
        results.append((entry, error))
    return results


def _try(store: Sink, group: list[Entry]) -> LedgerUnavailable | None:
    try:
        store.write(
            [entry.opening for entry in group if entry.opening is not None],
            [entry.closing for entry in group if entry.closing is not None],
        )
    except LedgerUnavailable as error:
        return error
    except (
        Exception
    ) as error:  # the thread outlives a fault of its store, or nobody would be answered again
        logger.exception("the ledger failed")
        return RowRejected(f"the ledger failed ({type(error).__name__})")
    return None

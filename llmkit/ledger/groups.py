"""How a group of rows goes into the store: all at once, and each by itself where one of them is at fault."""

from __future__ import annotations

import logging

from llmkit.errors import BudgetExceeded, LedgerUnavailable
from llmkit.ledger.base import Sink
from llmkit.ledger.entry import Entry, Written, row_of
from llmkit.ledger.row import Refusals, RowRejected, lesser
from llmkit.tracebacks import place_of

logger = logging.getLogger("llmkit.ledger")


def write_group(store: Sink, group: list[Entry]) -> Written:
    """Write entries in one transaction, so that a bad row harms no other. Raises nothing."""
    refused, error = _try(store, group)
    if isinstance(error, RowRejected):
        return _one_by_one(store, group)
    return [(entry, error or _refusal(entry, refused)) for entry in group]


def _one_by_one(store: Sink, group: list[Entry]) -> Written:
    """Write each entry by itself, until the store fails.

    A closing that the store refuses is written without what was asked and answered, and then without its figures, so that no row stays
    open for them.
    """
    results: Written = []
    down: LedgerUnavailable | None = None
    for entry in group:
        refused: Refusals = {}
        error = down
        if error is None:
            refused, error = _try(store, [entry])
        if isinstance(error, RowRejected) and entry.closing is not None:
            for less, lost in lesser(entry.closing):
                refused, still = _try(store, [Entry(entry.opening, less)])
                if still is None:
                    logger.error("a row was closed without %s: %s", lost, error)
                    break
            error = still
        if error is not None and not isinstance(error, RowRejected):
            down = error
        results.append((entry, error or _refusal(entry, refused)))
    return results


def _refusal(entry: Entry, refused: Refusals) -> BudgetExceeded | None:
    if not refused or entry.opening is None:
        return None
    why = refused.get(row_of(entry.opening))
    return None if why is None else why.error


def _try(store: Sink, group: list[Entry]) -> tuple[Refusals, LedgerUnavailable | None]:
    try:
        refused = store.write(
            [entry.opening for entry in group if entry.opening is not None],
            [entry.closing for entry in group if entry.closing is not None],
        )
    except LedgerUnavailable as error:
        return {}, error
    # The thread outlives a fault of its store, or nobody would be answered again.
    except Exception as error:  # noqa: BLE001
        logger.error("the ledger failed: %s", place_of(error))  # noqa: TRY400  # it may quote a row
        return {}, RowRejected(f"the ledger failed ({type(error).__name__})")
    return refused, None

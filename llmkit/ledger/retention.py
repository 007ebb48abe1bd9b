"""Old rows go, or what was asked and answered in them, a few at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from llmkit.ledger.base import Maintained
from llmkit.ledger.columns import TABLE
from llmkit.ledger.queries import Dialect, Query

# How many rows go in one transaction: few enough that nobody waits for it to end.
BATCH = 500

Ask = Callable[[Query], Sequence[Sequence[Any]]]
"""Runs a statement inside a transaction, and returns its rows; of one that changes rows, how many."""


class Pruned(NamedTuple):
    """How many rows were found and how many of them pruned, which another may have done meanwhile; and where the next ones are looked for."""

    found: int
    pruned: int
    after: Any


def prune(
    store: Maintained,
    before: datetime,
    *,
    content_only: bool = False,
    batch: int = BATCH,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Delete the rows of calls that began before a moment, or only their content. Between two batches others get as long as one takes.

    Returns:
        How many rows.

    Raises:
        LedgerUnavailable: the store is at fault; what is pruned by then stays so.
    """
    done, total = Pruned(batch, 0, None), 0
    while done.found == batch:
        began = clock()
        done = store.prune(before, content_only=content_only, limit=batch, after=done.after)
        total += done.pruned
        if done.found == batch:
            sleep(clock() - began)
    return total


class Found(NamedTuple):
    """The ids of rows, and when the call of the last one began."""

    ids: tuple[int, ...]
    last: Any


def find_old(
    ask: Ask, dialect: Dialect, before: datetime, *, content_only: bool, limit: int, after: Any
) -> Found:
    """Find the rows that `Maintained.prune` says, over a database."""
    # Where the rows before it are only emptied, they would be looked through again each time.
    begins = "" if after is None else " AND started_at >= %s"
    moment = "started_at || ''" if dialect.vendor == "sqlite" else "started_at"
    rows = ask(
        Query(
            f"SELECT id, {moment} FROM {TABLE} WHERE started_at < %s AND status <> 'started'{begins}{_kept(content_only)}"  # noqa: S608  # nothing of it is foreign
            " ORDER BY started_at LIMIT %s",
            (dialect.moment(before), *([] if after is None else [after]), limit),
        )
    )
    return Found(tuple(row[0] for row in rows), rows[-1][1] if rows else after)


def prune_rows(ask: Ask, _: Dialect, ids: Sequence[int], *, content_only: bool) -> int:
    """Delete rows, or only their content, over a database; return how many there still were."""
    change = f"UPDATE {TABLE} SET content = NULL" if content_only else f"DELETE FROM {TABLE}"  # noqa: S608
    chosen = f"id IN ({', '.join(['%s'] * len(ids))}){_kept(content_only)}"
    ((count,),) = ask(Query(f"{change} WHERE {chosen}", tuple(ids)))
    return int(count)


def count_old(ask: Ask, dialect: Dialect, before: datetime, *, content_only: bool) -> int:
    """Do what `Maintained.count_old` says, over a database."""
    sql = f"SELECT COUNT(*) FROM {TABLE} WHERE started_at < %s AND status <> 'started'{_kept(content_only)}"  # noqa: S608
    ((count,),) = ask(Query(sql, (dialect.moment(before),)))
    return int(count)


def _kept(content_only: bool) -> str:  # noqa: FBT001
    return " AND content IS NOT NULL" if content_only else ""

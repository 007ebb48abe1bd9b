"""Rows of the ledger, with what they hold of budgets and settle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from llmkit.errors import BudgetExceeded
from llmkit.ledger.entry import row_of
from llmkit.ledger.hold_rows import Repeated, Settlement, Wanted
from llmkit.ledger.row import Closing, Opening, Refusals, unsent
from llmkit.ledger.used import used_by
from llmkit.policy.budgets.decide import Shortage

T = TypeVar("T")


def once(work: Callable[[bool], T]) -> T:
    """Do something in a transaction; if it was decided already, do it in another one that minds that.

    Args:
        work: what is done, and whether it may have been done before.
    """
    try:
        return work(False)  # noqa: FBT003
    except Repeated:
        return work(True)  # noqa: FBT003


def write_rows(
    change: Callable[[Sequence[Settlement], Sequence[Wanted]], Mapping[str, Shortage]],
    openings: Sequence[Opening],
    closings: Sequence[Closing],
    *,
    insert: Callable[[Sequence[Opening]], None],
    update: Callable[[Sequence[Closing]], None],
) -> Refusals:
    """Write rows of the ledger with what they hold and settle, in a transaction that is open.

    What was used is settled first, so that it makes room. What one row asks is asked in the order in which they came.

    Args:
        change: settles and holds.
        openings: rows that are new.
        closings: the ends of rows.
        insert: writes rows as `started`; those that are there are left alone.
        update: closes rows.

    Returns:
        The rows that a budget had no room for. They are closed as `refused`.
    """
    new = {row_of(opening) for opening in openings}
    earlier = [closing for closing in closings if row_of(closing) not in new]
    later = [closing for closing in closings if row_of(closing) in new]
    update(earlier)
    wanted = {hold_id(opening): opening for opening in openings if opening.claims}
    found = change(
        list(map(_settlement, filter(_holds, earlier))),
        [
            Wanted(
                id=name,
                claims=opening.claims,
                call_id=opening.call_id,
                attempt=opening.attempt,
                granted_at=opening.granted_at,
            )
            for name, opening in wanted.items()
        ],
    )
    insert(openings)
    refused = {row_of(wanted[name]): why for name, why in found.items()}
    update([unsent(wanted[name], "refused", 0.0, error_type=BudgetExceeded.type) for name in found])
    update([closing for closing in later if row_of(closing) not in refused])
    if settled := list(map(_settlement, filter(_holds, later))):
        change(settled, [])
    return refused


def has_holds(openings: Iterable[Opening], closings: Iterable[Closing]) -> bool:
    """Whether rows hold or settle anything."""
    return any(row.claims for row in openings) or any(row.held for row in closings)


def hold_id(row: Opening | Closing) -> str:
    """Return the id of what a row holds."""
    return f"{row.call_id}:{row.attempt}"


def _holds(closing: Closing) -> bool:
    return closing.held


def _settlement(closing: Closing) -> Settlement:
    return Settlement(hold_id(closing), used_by(closing), final=closing.status != "lost")

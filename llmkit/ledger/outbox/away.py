"""What is said, and written down, while the ledger's database is away."""

from __future__ import annotations

from llmkit.errors import BudgetUnavailable, LedgerUnavailable
from llmkit.ledger.row import Closing, Opening, RowRejected, unsent


def asks(opening: Opening, closing: Closing | None) -> bool:
    """Whether a row asks budgets in the ledger's database for room."""
    return bool(opening.claims) and opening.granted_at is None and closing is None


def unasked(opening: Opening) -> Closing:
    """Make the end of a call that was not made because its budgets could not be asked. What its row may hold all the same is let go."""
    return unsent(opening, "refused", 0.0, error_type=BudgetUnavailable.type)


def no_budgets(error: LedgerUnavailable | None) -> BudgetUnavailable:
    """Make the error for a call that is charged to budgets."""
    said = "" if error is None else f": {error.message}"
    return BudgetUnavailable(
        f"the budgets cannot be asked while the ledger's database is away{said}",
        hint=None if error is None else error.hint,
    )


def neither(store: LedgerUnavailable | None, outbox: LedgerUnavailable) -> LedgerUnavailable:
    """Make the error for a row that neither takes."""
    if store is None or isinstance(outbox, RowRejected):
        return outbox
    return LedgerUnavailable(
        f"{store.message}, and {outbox.message}",
        hint=" ".join(hint for hint in (store.hint, outbox.hint) if hint),
    )

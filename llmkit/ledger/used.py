"""What an attempt has used of budgets, as its row says it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmkit.ledger.values import exact
from llmkit.policy.budgets.amounts import Used, nano_dollars

if TYPE_CHECKING:
    from llmkit.ledger.row import Closing


def used_by(closing: Closing) -> Used:
    """Say what an attempt has used by the end of its row."""
    usage = closing.usage
    return used_of_row(
        closing.status,
        closing.http_status,
        closing.cost,
        closing.price_version,
        usage.input_tokens,
        usage.output_tokens,
    )


def used_of_row(
    status: str,
    http_status: int | None,
    cost: Any,
    version: str | None,
    put_in: int | None,
    put_out: int | None,
) -> Used:
    """Say what a row has used. What it does not know is charged as it was held.

    What was not sent, or was answered with an error's status, is not billed; it counts as a request all the same, unless it was refused.
    """
    requests = 0 if status == "refused" else None
    usd = None if cost is None else nano_dollars(exact(cost))
    failed = http_status is not None and not 200 <= http_status < 300  # success, as HTTP counts it
    if (usd == 0 and version is None) or (failed and usd is None):
        return Used(usd=0, tokens=0, requests=requests)
    tokens = None if put_in is None or put_out is None else put_in + put_out
    return Used(usd=usd, tokens=tokens, requests=requests)

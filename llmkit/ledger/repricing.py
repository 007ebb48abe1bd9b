"""Rows are priced once more, by prices that were wrong or missing when their calls were made."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from llmkit.ledger.base import Maintained
from llmkit.ledger.columns import TABLE
from llmkit.ledger.queries import Dialect, Query
from llmkit.ledger.retention import Ask
from llmkit.ledger.values import billing_of, exact
from llmkit.policy.pricing import STATED, Priced, Prices
from llmkit.usage import EXACT, Billing, Usage

BATCH = 500
_TOKENS = (
    *("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens", "reasoning_tokens"),
)


class Costed(NamedTuple):
    """A row, as far as its cost hangs on it."""

    id: int
    provider: str | None
    model: str
    usage: Usage
    billing: Billing
    started_at: datetime
    status: str
    priced: Priced


@dataclass(frozen=True, slots=True, kw_only=True)
class Repriced:
    """What a new pricing has changed.

    Attributes:
        rows: how many rows were looked at.
        changed: how many of them have another cost, or one at last.
        old, new: the sums of the known costs of all of them, before and after, in US dollars.
        unpriced: how many have no known cost afterwards.
    """

    rows: int = 0
    changed: int = 0
    old: Decimal = Decimal(0)
    new: Decimal = Decimal(0)
    unpriced: int = 0


def reprice(
    store: Maintained,
    prices: Prices,
    *,
    since: datetime | None = None,
    dry_run: bool = False,
    batch: int = BATCH,
) -> Repriced:
    """Price rows by these prices, as they were when their calls were made.

    A row whose price is not known now keeps its cost and the version of its prices. What was never sent still costs nothing.

    Args:
        store: whose rows.
        prices: by which.
        since: of calls that began then or later; None is of all.
        dry_run: whether it is only said what would change.
        batch: how many rows are written in one transaction.

    Raises:
        LedgerUnavailable: the store is at fault; what is written by then stays so.
    """
    found = Repriced()
    for rows in _batches(store, since, batch):
        changes = []
        for row in rows:
            new = _priced(row, prices)
            if new != row.priced:
                changes.append((row, new))
            found = _counted(found, row, new)
        if changes and not dry_run:
            store.set_costs(changes)
    return found


def _batches(store: Maintained, since: datetime | None, batch: int) -> Iterator[list[Costed]]:
    after = 0
    while rows := store.closed(since=since, after=after, limit=batch):
        yield rows
        after = rows[-1].id


def _priced(row: Costed, prices: Prices) -> Priced:
    cost, version = row.priced
    if cost == 0 and version is None:
        return row.priced  # it was never sent
    billing = row.billing
    if version is not None and version.startswith(STATED):
        billing = replace(billing, stated_cost=cost)
    new = prices.cost(row.provider, row.model, row.usage, billing=billing, at=row.started_at)
    return row.priced if new.cost is None else new


def _counted(found: Repriced, row: Costed, new: Priced) -> Repriced:
    return Repriced(
        rows=found.rows + 1,
        changed=found.changed + (new.cost != row.priced.cost),
        old=EXACT.add(found.old, row.priced.cost or 0),
        new=EXACT.add(found.new, new.cost or 0),
        unpriced=found.unpriced + (new.cost is None),
    )


def closed(
    ask: Ask, dialect: Dialect, *, since: datetime | None, after: int, limit: int
) -> list[Costed]:
    """Do what `Maintained.closed` says, over a database."""
    is_sqlite = dialect.vendor == "sqlite"
    moment = "started_at || ''" if is_sqlite else "EXTRACT(EPOCH FROM started_at)"
    begins = "" if since is None else " AND started_at >= %s"
    rows = ask(
        Query(
            f"SELECT id, provider, model, {', '.join(_TOKENS)}, billing, {moment}, status, cost_usd, price_version FROM {TABLE}"  # noqa: S608
            f" WHERE id > %s AND status <> 'started'{begins} ORDER BY id LIMIT %s",
            (after, *([] if since is None else [dialect.moment(since)]), limit),
        )
    )
    return [_costed(dialect, row) for row in rows]


def set_costs(ask: Ask, dialect: Dialect, costs: Sequence[tuple[Costed, Priced]]) -> None:
    """Do what `Maintained.set_costs` says, over a database."""
    for row, (cost, version) in costs:
        assert cost is not None  # noqa: S101  # a row keeps the cost that it has, rather
        money = format(cost, "f") if dialect.vendor == "sqlite" else cost
        ask(
            Query(
                # An end that came meanwhile has another status, and a cost of its own.
                f"UPDATE {TABLE} SET cost_usd = %s, price_version = %s WHERE id = %s AND status = %s",  # noqa: S608
                (money, version, row.id, row.status),
            )
        )


def _costed(dialect: Dialect, row: Sequence[Any]) -> Costed:
    row_id, provider, model, *tokens, billing, began, status, cost, version = row
    moment = (
        datetime.fromisoformat(began).replace(tzinfo=UTC)
        if isinstance(began, str)
        else datetime.fromtimestamp(float(began), UTC)
    )
    return Costed(
        id=row_id,
        provider=provider,
        model=model or "",
        usage=Usage(**dict(zip(_TOKENS, tokens, strict=True))),
        billing=billing_of(json.loads(billing) if isinstance(billing, str) else billing),
        started_at=dialect.utc(moment),
        status=status,
        priced=Priced(None if cost is None else exact(cost), version),
    )

"""The statements for budgets: rows of accounts and of holds, read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from llmkit.budget.base import Place
from llmkit.ledger.columns import BUDGET_COLUMNS, BUDGET_TABLE
from llmkit.ledger.queries import Dialect, Query
from llmkit.policy.budgets.accounts import Account, Entry
from llmkit.policy.budgets.amounts import NOTHING, Units
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.windows import SECONDS

Ask = Callable[[Query], Sequence[Sequence[Any]]]
"""Runs a statement in a transaction that is open; returns its rows."""

# How many rows go into one statement: old versions of SQLite take no more than 999 parameters.
_AT_ONCE = 80
# How long a window that is over is kept, in seconds.
_LOOKED_BACK = 35 * 24 * 3600
_ACCOUNT = tuple(column.name for column in BUDGET_COLUMNS)
_COUNTED = _ACCOUNT[4:]


class Window(NamedTuple):
    """Which row an account's window has, by its `key`; how it is made. `ends` is in seconds since 1970, None if it is not known."""

    key: str
    name: str
    starts: int
    ends: int | None
    slides: bool

    @classmethod
    def of(cls, claim: Claim, moment: datetime) -> Window:
        """Return the one of an account that a moment is in."""
        window = claim.window(moment)
        ends = None if window.ends is None else int(window.ends.timestamp())
        key = f"{claim.key}@{window.start}"
        return cls(key, claim.key, window.start, ends, claim.slides)

    @classmethod
    def at(cls, entry: Entry) -> Window:
        """Return the one that something is held in."""
        key = f"{entry.key}@{entry.start}"
        return cls(key, entry.key, entry.start, None, entry.second != 0)

    @classmethod
    def of_place(cls, place: Place) -> Window:
        """Return the one that is asked for by its beginning."""
        return cls(f"{place.key}@{place.start}", place.key, place.start, None, slides=False)

    def account(self) -> Account:
        """Make its account, with nothing in it."""
        ends = None if self.ends is None else datetime.fromtimestamp(self.ends, UTC)
        return Account(ends, self.slides)


def clock(ask: Ask) -> datetime:
    """Ask a server what it is now."""
    ((seconds,),) = ask(Query("SELECT EXTRACT(EPOCH FROM clock_timestamp())", ()))
    return datetime.fromtimestamp(float(seconds), UTC)


def make_accounts(ask: Ask, windows: Sequence[Window]) -> None:
    """Make rows for those that have none."""
    for part in parts(windows):
        values = [value for window in part for value in _row(window, window.account())]
        ask(
            Query(
                f"INSERT INTO {BUDGET_TABLE} ({', '.join(_ACCOUNT)}) VALUES {rows_of(part, _ACCOUNT)} ON CONFLICT (key) DO NOTHING",  # noqa: S608
                tuple(values),
            )
        )


def read_accounts(
    ask: Ask, dialect: Dialect, windows: Sequence[Window], *, lock: bool
) -> dict[str, Account]:
    """Read accounts by their keys, in their order."""
    found = {}
    for part in parts(windows):
        sql = (
            f"SELECT key, ends, {', '.join(_COUNTED)} FROM {BUDGET_TABLE} WHERE key IN ({marks(part)})"  # noqa: S608
            f" ORDER BY key{locking(dialect) if lock else ''}"
        )
        for key, ends, *counted, seconds, told in ask(
            Query(sql, tuple(window.key for window in part))
        ):
            found[key] = _read_account(ends, counted, seconds, told)
    return found


def current(ask: Ask, now: datetime) -> dict[tuple[str, int], Account]:
    """Read the accounts whose windows are not over, by their names and beginnings."""
    sql = (
        f"SELECT account, starts, ends, {', '.join(_COUNTED)} FROM {BUDGET_TABLE}"  # noqa: S608
        " WHERE ends IS NULL OR ends > %s ORDER BY account, starts"
    )
    return {
        (name, start): _read_account(ends, counted, seconds, told)
        for name, start, ends, *counted, seconds, told in ask(Query(sql, (int(now.timestamp()),)))
    }


def write_accounts(ask: Ask, changed: Mapping[str, tuple[Window, Account]], now: datetime) -> None:
    """Write accounts that are locked, by their keys."""
    for _, account in changed.values():
        if account.slides:
            account.forget(now)
    updates = ", ".join(f"{name} = excluded.{name}" for name in ("ends", *_COUNTED))
    for part in parts(sorted(changed)):
        values = [value for key in part for value in _row(*changed[key])]
        ask(
            Query(
                f"INSERT INTO {BUDGET_TABLE} ({', '.join(_ACCOUNT)}) VALUES {rows_of(part, _ACCOUNT)}"  # noqa: S608
                f" ON CONFLICT (key) DO UPDATE SET {updates}",
                tuple(values),
            )
        )


def forget(ask: Ask, now: int) -> None:
    """Forget windows that are long over."""
    ask(Query(f"DELETE FROM {BUDGET_TABLE} WHERE ends < %s", (now - _LOOKED_BACK,)))  # noqa: S608


def parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Part values into as many as any database takes in one statement."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def _row(window: Window, account: Account) -> tuple[Any, ...]:
    ends = window.ends if account.ends is None else int(account.ends.timestamp())
    if not account.slides:
        used, held = account.used.get(0, NOTHING), account.held.get(0, NOTHING)
        row = window.key, window.name, window.starts, ends
        return (*row, *three(used), *three(held), None, account.told or None)
    by_second = {
        second: (account.used.get(second, NOTHING), account.held.get(second, NOTHING))
        for second in sorted({*account.used, *account.held})
    }
    ends = max(by_second, default=0) + SECONDS
    counters = [[second, *three(used), *three(held)] for second, (used, held) in by_second.items()]
    totals = [sum(row[place] for row in counters) for place in range(1, 7)]
    row = window.key, window.name, window.starts, ends
    return (*row, *totals, as_json(counters), account.told or None)


def _read_account(
    ends: int | None, counted: Sequence[int], seconds: str | None, told: int | None
) -> Account:
    if seconds is None:
        until = None if ends is None else datetime.fromtimestamp(ends, UTC)
        used, held = units_of(counted[:3]), units_of(counted[3:])
        return Account(until, slides=False, used={0: used}, held={0: held}, told=told or 0)
    found = Account(None, slides=True, told=told or 0)
    for second, *counters in msgspec.json.decode(seconds):
        found.used[second], found.held[second] = units_of(counters[:3]), units_of(counters[3:])
    return found


def three(units: Units) -> tuple[int, int, int]:
    """Return the three units as a row has them."""
    return units.usd, units.tokens, units.requests


def units_of(three: Sequence[int]) -> Units:
    """Read them."""
    usd, tokens, requests = three
    return Units(usd=usd, tokens=tokens, requests=requests)


def as_json(value: Any) -> str:
    """Write a value for a column of text."""
    return msgspec.json.encode(value).decode()


def marks(values: Sequence[Any]) -> str:
    """Write as many places for parameters as there are values."""
    return ", ".join(["%s"] * len(values))


def rows_of(values: Sequence[Any], columns: Sequence[str]) -> str:
    """Write the places for as many rows."""
    return ", ".join([f"({marks(columns)})"] * len(values))


def locking(dialect: Dialect) -> str:
    """Write what locks the rows that are read, where a server does that."""
    return " FOR UPDATE" if dialect.vendor == "postgresql" else ""

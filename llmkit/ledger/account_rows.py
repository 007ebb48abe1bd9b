"""The statements for budgets: rows of accounts and of holds, read and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from llmkit.budget.base import Place
from llmkit.ledger.columns import BUDGET_COLUMNS, BUDGET_TABLE, HOLD_COLUMNS, HOLD_TABLE, TABLE
from llmkit.ledger.queries import Dialect, Query
from llmkit.ledger.used import used_of_row
from llmkit.policy.budgets.accounts import Account, Entry, Mark
from llmkit.policy.budgets.amounts import NOTHING, UNUSED, Units, Used
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.windows import SECONDS

Ask = Callable[[Query], Sequence[Sequence[Any]]]
"""Runs a statement in a transaction that is open; returns its rows."""

# What is written down of what was refused: it holds nothing.
_REFUSED = "[]"
# How many rows go into one statement: old versions of SQLite take no more than 999 parameters.
_AT_ONCE = 80
# How long the hold of a row that was lost is kept, whose end may come after all; and a window that is over. In seconds.
_CORRECTED = 24 * 3600
_LOOKED_BACK = 35 * 24 * 3600
_ACCOUNT = tuple(column.name for column in BUDGET_COLUMNS)
_COUNTED = _ACCOUNT[4:]
_HOLD = tuple(column.name for column in HOLD_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be held.

    Attributes:
        id: of the hold.
        claims: what it asks of its accounts, at least one.
        call_id, attempt: the row of the ledger that it is for; None for one that is for none.
        lapse: after how many seconds it is let go if nobody settles it; None is never.
        granted_at: when it was granted elsewhere: it is held whether there is room or not.
    """

    id: str
    claims: Sequence[Claim]
    granted_at: datetime | None = None
    call_id: str | None = None
    attempt: int | None = None
    lapse: float | None = None


class Repeated(Exception):
    """What was to be held is written down already: another try was committed after all. Nothing of this one may be."""


class Settlement(NamedTuple):
    """What was used of a hold. One that is not `final` may be corrected later, by one that comes `again`."""

    id: str
    used: Used
    final: bool = True
    again: bool = True


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


@dataclass(slots=True)
class Hold:
    """What is held, and what was charged for it already, if anything was."""

    entries: list[Entry]
    used: Used | None


def clock(ask: Ask) -> datetime:
    """Ask a server what it is now."""
    ((seconds,),) = ask(Query("SELECT EXTRACT(EPOCH FROM clock_timestamp())", ()))
    return datetime.fromtimestamp(float(seconds), UTC)


def end_holds(ask: Ask, dialect: Dialect, settlements: Sequence[Settlement]) -> dict[str, Hold]:
    """Forget holds that are settled; of those that may be corrected, write down what is charged.

    Returns:
        What they were.
    """
    final = sorted({settlement.id for settlement in settlements if settlement.final})
    others = {settlement.id: settlement for settlement in settlements if not settlement.final}
    found: dict[str, Hold] = {}
    for part in parts(final):
        which = f"FROM {HOLD_TABLE} WHERE id IN ({_marks(part)})"
        if dialect.vendor == "postgresql":
            found |= _read_holds(
                ask(Query(f"DELETE {which} RETURNING id, entries, used", tuple(part)))
            )
        else:  # which has no RETURNING where it is old
            found |= _read_holds(
                ask(Query(f"SELECT id, entries, used {which}", tuple(part)))
            )  # nothing of it is foreign
            ask(Query(f"DELETE {which}", tuple(part)))
    for part in parts(sorted(others)):
        sql = f"SELECT id, entries, used FROM {HOLD_TABLE} WHERE id IN ({_marks(part)}) ORDER BY id"  # noqa: S608
        read = _read_holds(ask(Query(f"{sql}{_locking(dialect)}", tuple(part))))
        found |= {
            name: hold for name, hold in read.items() if hold.used is None or others[name].again
        }
    for name in others.keys() & found.keys():
        values = _used(others[name].used), name
        ask(Query(f"UPDATE {HOLD_TABLE} SET used = %s WHERE id = %s", values))  # noqa: S608
    return found


def _read_holds(found: Sequence[Sequence[Any]]) -> dict[str, Hold]:
    return {name: Hold(_read_entries(entries), _read_used(used)) for name, entries, used in found}


def decided(ask: Ask, ids: Sequence[str]) -> tuple[set[str], set[str]]:
    """Find what was held before, and what was refused: of a group that is tried again, for it may have been committed."""
    held: set[str] = set()
    refused: set[str] = set()
    for part in parts(ids):
        sql = f"SELECT id, entries FROM {HOLD_TABLE} WHERE id IN ({_marks(part)})"  # noqa: S608
        for name, entries in ask(Query(sql, tuple(part))):
            (refused if entries == _REFUSED else held).add(name)
    return held, refused


def make_accounts(ask: Ask, windows: Sequence[Window]) -> None:
    """Make rows for those that have none."""
    for part in parts(windows):
        values = [value for window in part for value in _row(window, window.account())]
        ask(
            Query(
                f"INSERT INTO {BUDGET_TABLE} ({', '.join(_ACCOUNT)}) VALUES {_rows(part, _ACCOUNT)} ON CONFLICT (key) DO NOTHING",  # noqa: S608
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
            f"SELECT key, ends, {', '.join(_COUNTED)} FROM {BUDGET_TABLE} WHERE key IN ({_marks(part)})"  # noqa: S608
            f" ORDER BY key{_locking(dialect) if lock else ''}"
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
                f"INSERT INTO {BUDGET_TABLE} ({', '.join(_ACCOUNT)}) VALUES {_rows(part, _ACCOUNT)}"  # noqa: S608
                f" ON CONFLICT (key) DO UPDATE SET {updates}",
                tuple(values),
            )
        )


def write_holds(
    ask: Ask,
    begun: Sequence[tuple[Wanted, Sequence[Entry]]],
    refused: Sequence[Wanted],
    now: datetime,
) -> None:
    """Write down what is held from now on, and what was refused.

    Raises:
        Repeated: some of it is written down already.
    """
    at = int(now.timestamp())
    rows: list[tuple[Wanted, str, str | None]] = [
        *((wanted, _entries(entries), None) for wanted, entries in begun),
        *((wanted, _REFUSED, _used(UNUSED)) for wanted in refused),
    ]
    for part in parts(rows):
        values: list[Any] = []
        for wanted, entries, used in part:
            lapses = None if wanted.lapse is None else at + int(wanted.lapse)
            row = wanted.call_id, wanted.attempt
            values += (wanted.id, *row, entries, used, at, lapses)
        ((written,),) = ask(
            Query(
                f"INSERT INTO {HOLD_TABLE} ({', '.join(_HOLD)}) VALUES {_rows(part, _HOLD)} ON CONFLICT (id) DO NOTHING",  # noqa: S608
                tuple(values),
            )
        )
        if written != len(part):
            raise Repeated


def left_open(ask: Ask, now: int) -> list[Settlement]:
    """Find the holds that nobody settles any more: their rows are open no more, or they have lapsed."""
    of_rows = (
        f"SELECT h.id, u.status, u.http_status, u.cost_usd, u.price_version, u.input_tokens, u.output_tokens FROM {HOLD_TABLE} h"  # noqa: S608
        f" JOIN {TABLE} u ON u.call_id = h.call_id AND u.attempt = h.attempt WHERE h.used IS NULL AND u.status <> 'started'"
    )
    found = [
        Settlement(name, used_of_row(status, *figures), final=status != "lost")
        for name, status, *figures in ask(Query(of_rows, ()))
    ]
    lapsed = f"SELECT id FROM {HOLD_TABLE} WHERE used IS NULL AND lapses_at < %s"  # noqa: S608
    return found + [Settlement(name, UNUSED) for (name,) in ask(Query(lapsed, (now,)))]


def open_entries(ask: Ask) -> Iterator[tuple[str, Entry]]:
    """Read all that is held now, with the ids of the holds."""
    sql = f"SELECT id, entries FROM {HOLD_TABLE} WHERE used IS NULL"  # noqa: S608
    for name, entries in ask(Query(sql, ())):
        for entry in _read_entries(entries):
            yield name, entry


def charged(ask: Ask, ids: Sequence[str]) -> dict[str, Used]:
    """Find which holds are settled, and what was charged for them."""
    found: dict[str, Used] = {}
    for part in parts(sorted(ids)):
        sql = f"SELECT id, used FROM {HOLD_TABLE} WHERE id IN ({_marks(part)}) AND used IS NOT NULL AND entries <> %s"  # noqa: S608
        for name, said in ask(Query(sql, (*part, _REFUSED))):
            used = _read_used(said)
            if used is not None:
                found[name] = used
    # Of one that is final there is the row of its call alone.
    calls = {name.rpartition(":")[0] for name in ids if name not in found}
    for part in parts(sorted(calls)):
        sql = (
            f"SELECT u.call_id, u.attempt, u.status, u.http_status, u.cost_usd, u.price_version, u.input_tokens, u.output_tokens"  # noqa: S608
            f" FROM {TABLE} u LEFT JOIN {HOLD_TABLE} h ON h.call_id = u.call_id AND h.attempt = u.attempt"
            f" WHERE u.call_id IN ({_marks(part)}) AND u.status <> 'started' AND h.id IS NULL"
        )
        for call_id, attempt, status, *figures in ask(Query(sql, tuple(part))):
            found[f"{call_id}:{attempt}"] = used_of_row(status, *figures)
    return {name: used for name, used in found.items() if name in set(ids)}


def forget(ask: Ask, now: int) -> None:
    """Forget holds that nobody corrects any more, and windows that are long over."""
    held = f"DELETE FROM {HOLD_TABLE} WHERE used IS NOT NULL AND held_at < %s"  # noqa: S608
    ask(Query(held, (now - _CORRECTED,)))
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
        return (*row, *_three(used), *_three(held), None, account.told or None)
    by_second = {
        second: (account.used.get(second, NOTHING), account.held.get(second, NOTHING))
        for second in sorted({*account.used, *account.held})
    }
    ends = max(by_second, default=0) + SECONDS
    counters = [
        [second, *_three(used), *_three(held)] for second, (used, held) in by_second.items()
    ]
    totals = [sum(row[place] for row in counters) for place in range(1, 7)]
    row = window.key, window.name, window.starts, ends
    return (*row, *totals, _json(counters), account.told or None)


def _read_account(
    ends: int | None, counted: Sequence[int], seconds: str | None, told: int | None
) -> Account:
    if seconds is None:
        until = None if ends is None else datetime.fromtimestamp(ends, UTC)
        used, held = _units(counted[:3]), _units(counted[3:])
        return Account(until, slides=False, used={0: used}, held={0: held}, told=told or 0)
    found = Account(None, slides=True, told=told or 0)
    for second, *counters in msgspec.json.decode(seconds):
        found.used[second], found.held[second] = _units(counters[:3]), _units(counters[3:])
    return found


def _three(units: Units) -> tuple[int, int, int]:
    return units.usd, units.tokens, units.requests


def _units(three: Sequence[int]) -> Units:
    usd, tokens, requests = three
    return Units(usd=usd, tokens=tokens, requests=requests)


def _entries(entries: Sequence[Entry]) -> str:
    said = []
    for each in entries:
        marks = [each.marks] if each.marks else []
        said.append([each.key, each.start, each.second, *_three(each.held), *marks])
    return _json(said)


def _read_entries(said: str) -> list[Entry]:
    return [
        Entry(
            key,
            start,
            second,
            _units(rest[:3]),
            tuple(Mark(*mark) for marks in rest[3:] for mark in marks),
        )
        for key, start, second, *rest in msgspec.json.decode(said)
    ]


def _used(used: Used) -> str:
    return _json([used.usd, used.tokens, used.requests])


def _read_used(said: str | None) -> Used | None:
    if said is None:
        return None
    usd, tokens, requests = msgspec.json.decode(said)
    return Used(usd=usd, tokens=tokens, requests=requests)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _marks(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _rows(values: Sequence[Any], columns: Sequence[str]) -> str:
    return ", ".join([f"({_marks(columns)})"] * len(values))


def _locking(dialect: Dialect) -> str:
    return " FOR UPDATE" if dialect.vendor == "postgresql" else ""

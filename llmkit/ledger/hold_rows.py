"""What is held in budgets, as rows of a table: statements within a transaction, over SQLAlchemy and over Django."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from llmkit.ledger.account_rows import (
    Ask,
    Window,
    as_json,
    locking,
    marks,
    parts,
    rows_of,
    three,
    units_of,
)
from llmkit.ledger.columns import HOLD_COLUMNS, HOLD_TABLE, TABLE
from llmkit.ledger.queries import Dialect, Query
from llmkit.ledger.used import used_of_row
from llmkit.policy.budgets.accounts import Entry, Mark
from llmkit.policy.budgets.amounts import UNUSED, Used
from llmkit.policy.budgets.decide import Claim
from llmkit.policy.budgets.times import CORRECTED

# What is written down of what was refused: it holds nothing.
_REFUSED = "[]"
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


@dataclass(slots=True)
class Hold:
    """What is held, and what was charged for it already, if anything was."""

    entries: list[Entry]
    used: Used | None


def end_holds(ask: Ask, dialect: Dialect, settlements: Sequence[Settlement]) -> dict[str, Hold]:
    """Forget holds that are settled; of those that may be corrected, write down what is charged.

    Returns:
        What they were.
    """
    final = sorted({settlement.id for settlement in settlements if settlement.final})
    others = {settlement.id: settlement for settlement in settlements if not settlement.final}
    found: dict[str, Hold] = {}
    for part in parts(final):
        which = f"FROM {HOLD_TABLE} WHERE id IN ({marks(part)})"
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
        sql = f"SELECT id, entries, used FROM {HOLD_TABLE} WHERE id IN ({marks(part)}) ORDER BY id"  # noqa: S608
        read = _read_holds(ask(Query(f"{sql}{locking(dialect)}", tuple(part))))
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
        sql = f"SELECT id, entries FROM {HOLD_TABLE} WHERE id IN ({marks(part)})"  # noqa: S608
        for name, entries in ask(Query(sql, tuple(part))):
            (refused if entries == _REFUSED else held).add(name)
    return held, refused


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
                f"INSERT INTO {HOLD_TABLE} ({', '.join(_HOLD)}) VALUES {rows_of(part, _HOLD)} ON CONFLICT (id) DO NOTHING",  # noqa: S608
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
    # It may be settled after all, as may a row that was lost.
    return found + [Settlement(name, UNUSED, final=False) for (name,) in ask(Query(lapsed, (now,)))]


def held_in(ask: Ask, dialect: Dialect, window: Window) -> dict[str, Entry]:
    """Read what is held in a window of an account now, by the ids of the holds."""
    find = "strpos" if dialect.vendor == "postgresql" else "instr"
    sql = f"SELECT id, entries FROM {HOLD_TABLE} WHERE used IS NULL AND {find}(entries, %s) > 0"  # noqa: S608
    return {
        name: entry
        for name, entries in ask(Query(sql, (as_json(window.name),)))
        for entry in _read_entries(entries)
        if Window.at(entry).key == window.key
    }


def charged(ask: Ask, ids: Sequence[str]) -> dict[str, Used]:
    """Find which holds are settled, and what was charged for them."""
    found: dict[str, Used] = {}
    for part in parts(sorted(ids)):
        sql = f"SELECT id, used FROM {HOLD_TABLE} WHERE id IN ({marks(part)}) AND used IS NOT NULL AND entries <> %s"  # noqa: S608
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
            f" WHERE u.call_id IN ({marks(part)}) AND u.status <> 'started' AND h.id IS NULL"
        )
        for call_id, attempt, status, *figures in ask(Query(sql, tuple(part))):
            found[f"{call_id}:{attempt}"] = used_of_row(status, *figures)
    return {name: used for name, used in found.items() if name in set(ids)}


def _entries(entries: Sequence[Entry]) -> str:
    said = []
    for each in entries:
        marks = [each.marks] if each.marks else []
        said.append([each.key, each.start, each.second, *three(each.held), *marks])
    return as_json(said)


def _read_entries(said: str) -> list[Entry]:
    return [
        Entry(
            key,
            start,
            second,
            units_of(rest[:3]),
            tuple(Mark(*mark) for marks in rest[3:] for mark in marks),
        )
        for key, start, second, *rest in msgspec.json.decode(said)
    ]


def _used(used: Used) -> str:
    return as_json([used.usd, used.tokens, used.requests])


def _read_used(said: str | None) -> Used | None:
    if said is None:
        return None
    usd, tokens, requests = msgspec.json.decode(said)
    return Used(usd=usd, tokens=tokens, requests=requests)


def forget(ask: Ask, now: int) -> None:
    """Forget holds that nobody corrects any more."""
    held = f"DELETE FROM {HOLD_TABLE} WHERE used IS NOT NULL AND held_at < %s"  # noqa: S608
    ask(Query(held, (now - CORRECTED,)))

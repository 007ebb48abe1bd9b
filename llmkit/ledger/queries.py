"""Questions about many rows as SQL, the same over SQLAlchemy and over Django: text with %s for each parameter, and the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cache
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from llmkit.ledger.columns import DECIMAL_PLACES, SIZES, TABLE, UNITS
from llmkit.ledger.selection import FIELDS, PERIODS, TAG, Selection
from llmkit.ledger.sums import Key, Sum
from llmkit.ledger.values import fit
from llmkit.usage import EXACT

Vendor = Literal["sqlite", "postgresql"]

# Days of every time zone begin at a quarter of an hour: rows are grouped by these, and by days and months here.
_QUARTER = 900
_MOST_IDS = 500


class Query(NamedTuple):
    """A statement and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


class Dialect(NamedTuple):
    """How a database is spoken to.

    Attributes:
        vendor: which one it is.
        moment: turns a moment into what the driver takes for one.
        utc: turns a moment that the database holds, counted as if it were in UTC, into the one that it is.
    """

    vendor: Vendor
    moment: Callable[[datetime], Any]
    utc: Callable[[datetime], datetime] = lambda moment: moment


def sums(dialect: Dialect, by: Sequence[str], selection: Selection) -> Query:
    """Ask for the sums of groups; `read_sums` reads what comes."""
    keys, parameters = [], []
    for name in _asked(by):
        key, more = _key(dialect, name)
        keys.append(key)
        parameters += more
    where, more = _where(dialect, selection)
    places = ", ".join(str(place) for place in range(1, len(keys) + 1))
    figures = (
        "COUNT(*), SUM(CASE WHEN attempt <= 1 THEN 1 ELSE 0 END), SUM(input_tokens), SUM(output_tokens), "
        f"COUNT(cost_usd), {_dollars(dialect, 'cost_usd')}, {_dollars(dialect, 'saved_usd')}"
    )
    return Query(
        f"SELECT {''.join(f'{key}, ' for key in keys)}{figures} FROM {TABLE}{where}"  # noqa: S608  # nothing of it is foreign
        + (f" GROUP BY {places}" if keys else ""),
        (*parameters, *more),
    )


def read_sums(
    dialect: Dialect, by: Sequence[str], rows: Iterable[Sequence[Any]], zone: tzinfo
) -> dict[Key, Sum]:
    """Read what `sums` has found; quarters of an hour are put together to the days and months of a time zone."""
    asked = _asked(by)

    @cache
    def day(quarter: str | int) -> str:
        return dialect.utc(_begins(quarter)).astimezone(zone).date().isoformat()

    words = [_reader(name, asked, day) for name in by]
    found: dict[Key, list[Any]] = {}
    # Grouped by day and user there are about as many rows as calls: what is done for each is as little as can be.
    for row in rows:
        key = tuple([word(row) for word in words])
        figures = row[len(asked) :]
        if (before := found.get(key)) is None:
            found[key] = [value or 0 for value in figures]
            continue
        for place, value in enumerate(figures):
            if value:
                so_far = before[place]
                is_exact = isinstance(value, int)
                before[place] = so_far + value if is_exact else EXACT.add(so_far, value)
    return {key: _sum(figures) for key, figures in found.items() if figures[0]}


def _sum(figures: Sequence[Any]) -> Sum:
    """Read the figures of a group. Where nothing is grouped by there is one that may have no rows."""
    attempts, calls, put_in, put_out, priced, *dollars = figures
    return Sum(
        calls=int(calls),
        attempts=int(attempts),
        input_tokens=int(put_in),
        output_tokens=int(put_out),
        cost=_whole(*dollars[:2]),
        unpriced=int(attempts - priced),
        saved=_whole(*dollars[2:]),
    )


def _whole(dollars: Any, rest: Any) -> Decimal:
    return EXACT.add(Decimal(dollars), EXACT.scaleb(Decimal(int(rest)), -DECIMAL_PLACES))


def latest(dialect: Dialect, selection: Selection, limit: int) -> Query:
    """Ask for the ids of the latest rows."""
    where, parameters = _where(dialect, selection)
    return Query(f"SELECT id FROM {TABLE}{where} ORDER BY id DESC LIMIT %s", (*parameters, limit))  # noqa: S608


def parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Part ids into as many as any database takes in one statement."""
    for start in range(0, len(ids), _MOST_IDS):
        yield ids[start : start + _MOST_IDS]


def _asked(by: Sequence[str]) -> list[str]:
    """Return what the database groups by: days and months are made of the same quarters."""
    return list(dict.fromkeys("quarter" if name in PERIODS else name for name in by))


def _reader(
    name: str, asked: Sequence[str], day: Callable[[Any], str]
) -> Callable[[Sequence[Any]], str | None]:
    """Return what reads a word of a group's key from a row that was found."""
    place = asked.index("quarter" if name in PERIODS else name)
    if name == "day":
        return lambda row: day(row[place])
    if name == "month":
        return lambda row: day(row[place])[: len("2026-05")]
    return itemgetter(place)


def _begins(quarter: str | int) -> datetime:
    """Say when a quarter of an hour begins, as the database counts it."""
    if isinstance(quarter, str):
        hour = datetime.fromisoformat(f"{quarter[:14]}00").replace(tzinfo=UTC)
        return hour + timedelta(seconds=int(quarter[14:]) * _QUARTER)
    return datetime.fromtimestamp(quarter * _QUARTER, UTC)


def _key(dialect: Dialect, name: str) -> tuple[str, list[Any]]:
    if name == "quarter" and dialect.vendor == "sqlite":
        # "2026-05-17 12:2": the half hour of 12:30.
        return (
            "(substr(started_at, 1, 14) || (CAST(substr(started_at, 15, 2) AS INTEGER) / 15))",
            [],
        )
    if name == "quarter":
        return f"CAST(FLOOR(EXTRACT(EPOCH FROM started_at) / {_QUARTER}) AS BIGINT)", []
    if not name.startswith(TAG):
        return FIELDS[name], []
    tag = fit(name.removeprefix(TAG), 255)
    if dialect.vendor == "sqlite":  # whose paths cannot name every key
        return "(SELECT value FROM json_each(tags) WHERE key = %s)", [tag]
    return "(tags ->> CAST(%s AS text))", [tag]


def _where(dialect: Dialect, selection: Selection) -> tuple[str, list[Any]]:
    conditions, parameters = [], []
    for condition, values in _conditions(dialect, selection):
        conditions.append(condition)
        parameters += values
    return (f" WHERE {' AND '.join(conditions)}" if conditions else ""), parameters


def _conditions(dialect: Dialect, selection: Selection) -> Iterator[tuple[str, list[Any]]]:
    if selection.since is not None:
        yield "started_at >= %s", [dialect.moment(selection.since)]
    if selection.until is not None:
        yield "started_at < %s", [dialect.moment(selection.until)]
    for name, value in selection.where.items():
        key, parameters = _key(dialect, name)
        if value is None:
            yield f"{key} IS NULL", parameters
        elif name == "model":  # as it is alone, or as settings write it
            stored = _as_stored(name, str(value))
            yield f"({key} = %s OR provider || ':' || {key} = %s)", [*parameters, stored, stored]
        else:
            yield f"{key} = %s", [*parameters, _as_stored(name, str(value))]


def _as_stored(name: str, value: str) -> str:
    """Return a value as its column has it, where what is too long is cut."""
    return fit(value, 255 if name.startswith(TAG) else SIZES[FIELDS[name]])


def _dollars(dialect: Dialect, column: str) -> str:
    """Sum dollars exactly.

    SQLite adds up all but whole numbers in floating point. There whole units of the last place are added, the whole dollars and what is
    left over by themselves: all units of a large ledger together are more than its integers hold.
    """
    if dialect.vendor != "sqlite":
        return f"SUM({column}), 0"
    units = f"CAST(ROUND({column} * {UNITS}) AS INTEGER)"
    return f"SUM({units} / {UNITS}), SUM({units} - {units} / {UNITS} * {UNITS})"

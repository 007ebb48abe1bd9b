"""A store of the ledger that is a list in memory, and a writer over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, tzinfo
from decimal import Decimal
from operator import attrgetter
from typing import Any

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.columns import COLUMNS
from llmkit.ledger.row import Closing, Opening, Progress, Refusals
from llmkit.ledger.selection import EVERYTHING, Selection
from llmkit.ledger.sums import Key, Sum
from llmkit.ledger.values import CLOSING, OPENING
from llmkit.ledger.writer import LedgerWriter


class Down:
    """Fails while `down` is set, as a store whose server has gone."""

    def __init__(self) -> None:
        self.down = threading.Event()
        self.tried = threading.Semaphore(0)

    def __call__(self, call_ids: Sequence[str]) -> None:
        self.tried.release()
        if self.down.is_set():
            raise LedgerUnavailable("the server is gone")


class MemoryStore:
    """Keeps what it was asked to write, a group each time; `fail` may raise, `gate` holds it up."""

    def __init__(self, fail: Callable[[Sequence[str]], None] = lambda call_ids: None) -> None:
        self.groups: list[tuple[list[Opening], list[Closing]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.closed = 0
        self.notes: list[list[Progress]] = []
        self._fail = fail
        self._changed = threading.Condition()

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
        self.entered.release()
        assert self.gate.wait(30)
        self._fail([row.call_id for row in (*openings, *closings)])
        with self._changed:
            self.groups.append((list(openings), list(closings)))
            self._changed.notify_all()
        return {}

    def note(self, progress: Sequence[Progress]) -> None:
        self._fail([])
        self.notes.append(list(progress))

    def sweep(self, *, silent: float, every: float = 0.0) -> int | None:
        return None

    def recent(self, limit: int, selection: Selection = EVERYTHING) -> list[dict[str, Any]]:
        return self._selected(selection)[::-1][:limit]

    def sums(
        self, by: Sequence[str] = (), selection: Selection = EVERYTHING, *, zone: tzinfo = UTC
    ) -> dict[Key, Sum]:
        found: dict[Key, Sum] = {}
        for row in self._selected(selection):
            key = tuple(_word(row, name, zone) for name in by)
            cost = row["cost_usd"]
            found[key] = found.get(key, Sum()) + Sum(
                calls=int(row["attempt"] <= 1),
                attempts=1,
                input_tokens=row["input_tokens"] or 0,
                output_tokens=row["output_tokens"] or 0,
                cost=cost or Decimal(0),
                unpriced=int(cost is None),
                saved=row["saved_usd"] or Decimal(0),
            )
        return found

    def _selected(self, selection: Selection) -> list[dict[str, Any]]:
        ends = {(row.call_id, row.attempt): row for row in self.closings}
        openings = [row for rows, _ in self.groups for row in rows]
        rows = [_by_column(row, ends.get((row.call_id, row.attempt))) for row in openings]
        return [
            row
            for row in rows
            if (selection.since is None or row["started_at"] >= selection.since)
            and (selection.until is None or row["started_at"] < selection.until)
            and all(
                _word(row, name, UTC) == value
                or (name == "model" and f"{row['provider']}:{row['model']}" == value)
                for name, value in selection.where.items()
            )
        ]

    def close(self) -> None:
        self.closed += 1

    def wait_for_closings(self, count: int) -> None:
        """Wait until so many have been written."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.closings) >= count, 30)

    @property
    def sizes(self) -> list[int]:
        return [len(openings) + len(closings) for openings, closings in self.groups]

    @property
    def closings(self) -> list[Closing]:
        return [row for _, closings in self.groups for row in closings]


def _by_column(row: Opening, end: Closing | None) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(column.name for column in COLUMNS)
    values |= {name: getattr(row, path) for name, path in OPENING.items()}
    values |= {"status": "started", "output_source": "unknown"}
    return values | {name: attrgetter(path)(end) for name, path in CLOSING.items() if end}


def _word(row: dict[str, Any], name: str, zone: tzinfo) -> str | None:
    day = row["started_at"].astimezone(zone)
    if name in ("day", "month"):
        return str(day.strftime("%Y-%m-%d" if name == "day" else "%Y-%m"))
    if name.startswith("tag:"):
        tag: str | None = row["tags"].get(name.removeprefix("tag:"))
        return tag
    word: str | None = row["user_key" if name == "user" else name]
    return word


@contextmanager
def writing(store: MemoryStore, **options: Any) -> Iterator[LedgerWriter]:
    writer = LedgerWriter(store, **options)
    try:
        yield writer
    finally:
        store.gate.set()
        writer.close()

"""A store of the ledger that is a list in memory, and a writer over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from operator import attrgetter
from typing import Any

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.columns import COLUMNS
from llmkit.ledger.row import Closing, Opening, Progress
from llmkit.ledger.sums import Sum, Totals
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

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> None:
        self.entered.release()
        assert self.gate.wait(30)
        self._fail([row.call_id for row in (*openings, *closings)])
        with self._changed:
            self.groups.append((list(openings), list(closings)))
            self._changed.notify_all()

    def note(self, progress: Sequence[Progress]) -> None:
        self.notes.append(list(progress))

    def sweep(self, *, silent: float, every: float = 0.0) -> int | None:
        return None

    def recent(self, limit: int) -> list[dict[str, Any]]:
        ends = {(row.call_id, row.attempt): row for row in self.closings}
        openings = [row for rows, _ in self.groups for row in rows]
        return [
            _by_column(row, ends.get((row.call_id, row.attempt))) for row in openings[::-1][:limit]
        ]

    def totals(self) -> Totals:
        ends = {(row.call_id, row.attempt): row for row in self.closings}
        groups: dict[tuple[str | None, str | None, str], Sum] = {}
        openings = [row for rows, _ in self.groups for row in rows]
        for row in openings:
            end = ends.get((row.call_id, row.attempt))
            key = (row.provider, row.model, "started" if end is None else end.status)
            so_far = groups.get(key, Sum(rows=0, cost=Decimal(0), unknown=0))
            cost = None if end is None else end.cost
            groups[key] = Sum(
                rows=so_far.rows + 1,
                cost=so_far.cost + (cost or 0),
                unknown=so_far.unknown + (cost is None),
            )
        return Totals.of(len({row.call_id for row in openings}), groups)

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


@contextmanager
def writing(store: MemoryStore, **options: float) -> Iterator[LedgerWriter]:
    writer = LedgerWriter(store, **options)  # type: ignore[arg-type]  # max_group, limit: int
    try:
        yield writer
    finally:
        store.gate.set()
        writer.close()

"""Rows that wait for their callers' transactions: written now, one on SQLite would wait for itself."""

from __future__ import annotations

from collections.abc import Iterable

from llmkit.ledger.entry import Entry, row_of

# How often they are looked at, in seconds.
LOOK_EVERY = 0.05


class Held:
    """What may not be written yet, in order. Only the ledger's thread uses it."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def set_aside(self, group: list[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Keep what waits for its caller's transaction, and what closes such a row.

        Returns:
            What need not wait; and what is kept, whose waiters may go on.
        """
        if not self._entries and not any(entry.until for entry in group):
            return group, []
        waiting = {row_of(entry.opening): entry.until for entry in self._entries if entry.opening}
        rest, kept = [], []
        for entry in group:
            until = entry.until
            if until is not None and entry.opening is not None:
                waiting[row_of(entry.opening)] = until
            elif entry.closing is not None:
                until = waiting.get(row_of(entry.closing))
            if until is None:
                rest.append(entry)
                continue
            kept.append(entry)
            self._entries.append(Entry(entry.opening, entry.closing, until=until))
        return rest, kept

    def ready(self, limit: int, *, at_last: bool) -> list[Entry]:
        """Choose the next that may be written now, in order; at last all of them may."""
        # A transaction may end while they are asked: the closing of a row must not go where its opening had to wait.
        open_ones = {entry.until for entry in self._entries if entry.until and not entry.until()}
        ready = (entry for entry in self._entries if at_last or entry.until not in open_ones)
        return [entry for entry, _ in zip(ready, range(limit), strict=False)]

    def drop(self, entries: Iterable[Entry]) -> None:
        """Forget what needs to be kept no more."""
        gone = set(map(id, entries))
        self._entries = [entry for entry in self._entries if id(entry) not in gone]

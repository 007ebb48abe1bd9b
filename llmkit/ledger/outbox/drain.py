"""Rows go from a file of the outbox into the ledger's store, in order; the file goes after its rows are committed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.base import Sink
from llmkit.ledger.entry import Entry, may_be_taken_yet
from llmkit.ledger.groups import write_group
from llmkit.ledger.outbox.file import ASIDE, lines_at, remove
from llmkit.ledger.outbox.folder import abandoned
from llmkit.ledger.outbox.locks import Descriptor
from llmkit.ledger.outbox.records import decode
from llmkit.ledger.row import Closing, Opening

logger = logging.getLogger("llmkit.ledger")

# About how many bytes of rows go into one transaction.
CHUNK = 128 * 1024


class Source(Protocol):
    """What is drained."""

    @property
    def place(self) -> Path:
        """Where it is."""

    def read(self, size: int) -> bytes:
        """Read the next whole lines that were not taken out, about so many bytes."""

    def take(self, count: int) -> None:
        """Take the next so many bytes out."""

    def spoil(self) -> None:
        """Keep it aside at the end, because some of its lines cannot be read."""


def drain(
    source: Source, store: Sink, written: Callable[[list[Opening | Closing]], None] | None = None
) -> LedgerUnavailable | None:
    """Write the rows of a file into a store until it is empty, each once: what is in the store already changes nothing.

    Args:
        source: the file.
        store: where the rows go.
        written: told which rows are safe.

    Returns:
        Why the store took no more; None if it took everything.
    """
    while data := source.read(CHUNK):
        rows = list(decode(data))
        sound = [row for row in rows if row is not None]
        torn = not data.endswith(b"\n") and rows[-1] is None
        if torn:
            logger.error(
                "the last line of the outbox %s is left out: its writer was killed", source.place
            )
        if spoilt := len(rows) - len(sound) - torn:
            source.spoil()
            logger.error(
                "%d lines of the outbox %s cannot be read: they are spoilt, or of another version of llmkit. The file is kept as %s%s",
                spoilt,
                source.place,
                source.place.name,
                ASIDE,
            )
        for _, error in write_group(store, [_entry(row) for row in sound]):
            if may_be_taken_yet(error):
                return error
            if error is not None:
                logger.error("a row of the outbox could not be written: %s", error)
        source.take(len(data))
        if written is not None:
            written(sound)
    return None


def drain_abandoned(folder: Path, prefix: str, store: Sink) -> LedgerUnavailable | None:
    """Do the same with the files of processes that have ended."""
    for path, file in abandoned(folder, prefix):
        left = _Abandoned(path, file)
        if left.has_rows:
            logger.warning("rows of a process that has ended are written from %s", path)
        error = drain(left, store)
        if error is not None:
            return error
        remove(path, file, aside=left.is_spoilt)
    return None


class _Abandoned:
    """A file without an owner, locked for us."""

    def __init__(self, path: Path, file: Descriptor) -> None:
        self.place = path
        self._file = file
        self._size = os.fstat(file.number).st_size
        self._taken = 0
        self.is_spoilt = False

    @property
    def has_rows(self) -> bool:
        """Whether anything is in it: it may be empty, and nobody be allowed to delete it."""
        return self._size > 0

    def spoil(self) -> None:
        """Take note of lines that cannot be read."""
        self.is_spoilt = True

    def read(self, size: int) -> bytes:
        """Read the next lines; the last one may be torn."""
        return lines_at(self._file.number, self._taken, self._size, size)

    def take(self, count: int) -> None:
        """Go on behind them."""
        self._taken += count


def _entry(row: Opening | Closing) -> Entry:
    return Entry(row, None) if isinstance(row, Opening) else Entry(None, row)

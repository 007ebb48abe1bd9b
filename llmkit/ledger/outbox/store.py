"""The outbox as a place where rows go: each process has a file of its own."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.outbox.file import OutboxFile, OutboxFull
from llmkit.ledger.outbox.folder import name_of, prefix_of
from llmkit.ledger.outbox.records import encode
from llmkit.ledger.row import Closing, Opening, Progress, Refusals, RowRejected

LIMIT = 64 * 1024 * 1024
_MIB = 1024 * 1024
# Which part of it has room for what was asked and answered, too.
_SHARE_OF_CONTENT = 4

logger = logging.getLogger("llmkit.ledger")


class Outbox:
    """Keeps rows in files until they are safe elsewhere.

    Args:
        folder: where the files are.
        database: what tells the ledger's database from others, without a password: the files of several may be in one folder.
        worker: gives the name of this process.
        limit: how large a file may become, in bytes.
    """

    def __init__(
        self, folder: Path, *, database: str, worker: Callable[[], str], limit: int = LIMIT
    ) -> None:
        self.folder = folder
        self.prefix = prefix_of(database)
        self._worker = worker
        self._limit = limit
        self._count = itertools.count(1)
        self._files: dict[int, OutboxFile] = {}

    @property
    def file(self) -> OutboxFile:
        """The file of this process; a fork has its own."""
        pid = os.getpid()
        found = self._files.get(pid)
        if found is None:
            made = OutboxFile(self.folder, self._new_name, limit=self._limit)
            found = self._files.setdefault(pid, made)
        return found

    def write(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> Refusals:
        """Write rows, all or none; they are on the disk when this returns.

        Raises:
            RowRejected: one of the rows is at fault.
            LedgerUnavailable: the file cannot be written.
        """
        # Whoever brings them into the ledger's database may be another process, and this one dead. No budget is asked by then: what was not
        # granted is not held.
        named = [
            replace(
                row,
                worker=row.worker or self._worker(),
                claims=row.claims if row.granted_at is not None else (),
            )
            for row in openings
        ]
        lines = self._lines(named, closings)
        file = self.file
        has_content = any(closing.content is not None for closing in closings)
        if has_content and file.waiting + sum(map(len, lines)) > self._limit // _SHARE_OF_CONTENT:
            logger.warning(
                "the outbox %s fills up: rows are kept without what was asked and answered",
                file.place,
            )
            lines = self._lines(named, [replace(closing, content=None) for closing in closings])
        if not lines:  # somebody waits for the rows of others
            return {}
        try:
            file.append(b"".join(lines))
        except OutboxFull:
            raise LedgerUnavailable(
                f"the outbox {file.place} is full ({self._limit / _MIB:g} MiB)",
                hint="Its rows are written when the ledger's database is back: check that it is running.",
            ) from None
        except OSError as error:
            raise LedgerUnavailable(
                f"the outbox {file.place} cannot be written ({error.strerror or type(error).__name__})",
                hint="Set ledger.outbox to a folder that this process can write to.",
            ) from error
        return {}

    def note(self, progress: Sequence[Progress]) -> None:
        """Do nothing: whoever lives has locked its file."""

    def close(self) -> None:
        """Let go of this process's file. What is in it waits for whoever finds it."""
        self.file.close()

    def _lines(self, openings: Sequence[Opening], closings: Sequence[Closing]) -> list[bytes]:
        try:
            return [*map(encode, openings), *map(encode, closings)]
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise RowRejected(
                f"a row cannot be written to the outbox ({type(error).__name__})"
            ) from error

    def _new_name(self) -> str:
        return name_of(self.prefix, f"{self._worker()}-{next(self._count)}")

"""The keepers of a ledger's outbox: each process has one, which begins when it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from llmkit.errors import LedgerUnavailable
from llmkit.ledger.entry import row_of
from llmkit.ledger.outbox.away import neither
from llmkit.ledger.outbox.keeper import Keeper
from llmkit.ledger.row import Closing, Opening


class Keepers:
    """The keepers of one ledger, by their processes: a fork has its own.

    Args:
        new: makes one.
    """

    def __init__(self, new: Callable[[], Keeper]) -> None:
        self._new = new
        self._keepers: dict[int, Keeper] = {}

    @property
    def here(self) -> Keeper:
        """That of this process."""
        pid = os.getpid()
        found = self._keepers.get(pid)
        if found is None:
            found = self._keepers.setdefault(pid, self._new())
            found.start()
        return found

    @property
    def is_busy(self) -> bool:
        """Whether this process has rows that are open."""
        # Not `here`: a thread that hung until after the ledger was closed must not begin again.
        keeper = self._keepers.get(os.getpid())
        return keeper is not None and bool(keeper.open_rows)

    @contextmanager
    def as_open(self, opening: Opening, closing: Closing | None = None) -> Iterator[None]:
        """Count a row as open before the ledger's thread sees it, or that would go to sleep; not if it is not written."""
        rows, key = self.here.open_rows, row_of(opening)
        if closing is None:
            rows.add(key)
        try:
            yield
        except BaseException:
            rows.discard(key)
            raise

    def stop(self, timeout: float) -> None:
        """End that of this process, once the outbox is empty or the time is over, in seconds."""
        keeper = self._keepers.pop(os.getpid(), None)
        if keeper is not None:
            keeper.stop(timeout)


@contextmanager
def into_outbox(
    keeper: Keeper, opening: Opening, error: LedgerUnavailable | None
) -> Iterator[None]:
    """Let the keeper know of a row that the block puts into the outbox; say both reasons if that does not take it either."""
    keeper.expect(opening)
    try:
        yield
    except LedgerUnavailable as failure:
        keeper.forget([opening])
        raise neither(error, failure) from failure
    keeper.look()

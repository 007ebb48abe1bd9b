"""The name of this process in the ledger."""

from __future__ import annotations

import os
from collections.abc import Callable


class WorkerName:
    """Gives a process its name, the same each time; a fork gets one of its own.

    Args:
        new_id: gives a random text, so that a process whose number was another's before is told from it.
    """

    def __init__(self, new_id: Callable[[], str] = lambda: os.urandom(8).hex()) -> None:
        self._new_id = new_id
        self._pid = 0
        self._name = ""

    def __call__(self) -> str:
        """Return the name."""
        pid = os.getpid()
        if pid != self._pid:
            self._name = f"{pid}-{self._new_id()[:12]}"
            self._pid = pid
        return self._name

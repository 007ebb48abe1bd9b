"""SIGTERM: a server that gets it may be gone before its streams have ended, and without running what waits for an exit.

gunicorn kills its workers at the end of the time it gives them; uvicorn ends by the signal itself; waitress knows no SIGTERM. So the
ledger is told first: each open row is marked as lost, with what its answer has come to, and an end that comes after all still
closes it. Then whoever handled the signal before handles it. SIGQUIT, which gunicorn sends its workers when it is stopped by hand, is the same.
"""

from __future__ import annotations

import logging
import os
import signal
from types import FrameType
from typing import Protocol
from weakref import WeakSet

log = logging.getLogger("llmkit.ledger")

# How long rows are waited for where the signal ends the process at once, in seconds.
LAST_SECONDS = 1.0


class Leaving(Protocol):
    """What has rows to write down before the process may be gone."""

    def note_open_rows(self) -> None:
        """Hand them to whoever writes, without waiting."""

    def flush(self, seconds: float) -> None:
        """Wait until they are written, for so long at most."""


_all: WeakSet[Leaving] = WeakSet()


def watch(one: Leaving) -> None:
    """Tell it of a SIGTERM, if this process lets that be known."""
    _all.add(one)
    install()


def install() -> None:
    """Listen for SIGTERM, where that is possible: in the main thread, if nobody has turned it off and we do not listen already.

    To be called where an app is loaded, too: what a server listens with, it has set up by then.
    """
    before = signal.getsignal(signal.SIGTERM)
    if before not in (signal.SIG_IGN, None) and not isinstance(before, _Handler):
        _listen(signal.SIGTERM, before)
    quits = getattr(signal, "SIGQUIT", None)  # not on Windows
    before = None if quits is None else signal.getsignal(quits)
    if quits is not None and callable(before) and not isinstance(before, _Handler):
        _listen(quits, before)


def _listen(number: signal.Signals, before: object) -> None:
    try:
        signal.signal(number, _Handler(before))
    except ValueError:
        return  # another thread, or another interpreter than the first; under gevent each greenlet may


class _Handler:
    def __init__(self, before: object) -> None:
        self._before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for one in list(_all):
            try:
                one.note_open_rows()
            except Exception:
                log.exception("open rows could not be marked as lost at SIGTERM")
        if callable(self._before):
            self._before(number, frame)
            return
        for one in list(_all):
            try:
                one.flush(LAST_SECONDS)
            except Exception:
                log.exception("rows could not be written at SIGTERM")
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

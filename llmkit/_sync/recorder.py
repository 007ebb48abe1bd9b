# Generated from llmkit/_async/recorder.py. Do not edit.
"""Around all middleware: it writes down the calls that no attempt could."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from llmkit.concurrency.threads import run_to_end
from llmkit.errors import LedgerUnavailable

if TYPE_CHECKING:
    from llmkit._sync.stream import Stream
    from llmkit.call import Call
    from llmkit.ledger.base import Ledger
    from llmkit.middleware import CallNext
    from llmkit.runtime import Runtime

log = logging.getLogger("llmkit.ledger")


class Recorder:
    """Sees to it that no call goes unrecorded.

    Every attempt writes its own row. A call that ends before any attempt, by the limits, by a wrong argument, by the app's own
    middleware or because nobody waits for it any more, gets its one row here, as attempt 0.
    """

    def __init__(self, runtime: Runtime, call_next: CallNext) -> None:
        self._runtime = runtime
        self._call_next = call_next

    def __call__(self, call: Call) -> Stream:
        """Pass the call on, and record it if no attempt did."""
        try:
            return self._call_next(call)
        except LedgerUnavailable:
            raise
        except BaseException as error:
            trace = call.trace
            if self._runtime.ledger is not None and not (trace.has_row or trace.is_left):
                self._record(self._runtime.ledger, call, error)
            raise

    def _record(self, ledger: Ledger, call: Call, error: BaseException) -> None:
        work = partial(ledger.record, *self._runtime.unmade(call, error))
        try:
            run_to_end(work, self._runtime.tasks)
        except LedgerUnavailable as unavailable:
            if isinstance(error, Exception):
                raise
            log.warning("a cancelled call could not be recorded: %s", unavailable)

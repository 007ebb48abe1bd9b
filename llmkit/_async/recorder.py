"""Around all middleware: it writes down the calls that no attempt could."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from llmkit.concurrency.tasks import async_run_to_end
from llmkit.errors import LedgerUnavailable

if TYPE_CHECKING:
    from llmkit._async.stream import AsyncStream
    from llmkit.call import Call
    from llmkit.ledger.base import Ledger
    from llmkit.middleware import AsyncCallNext
    from llmkit.runtime import Runtime

log = logging.getLogger("llmkit.ledger")


class AsyncRecorder:
    """Sees to it that no call goes unrecorded.

    Every attempt writes its own row. A call that ends before any attempt, by the limits, by a wrong argument, by the app's own
    middleware or because nobody waits for it any more, gets its one row here, as attempt 0.
    """

    def __init__(self, runtime: Runtime, call_next: AsyncCallNext) -> None:
        self._runtime = runtime
        self._call_next = call_next

    async def __call__(self, call: Call) -> AsyncStream:
        """Pass the call on, and record it if no attempt did."""
        try:
            return await self._call_next(call)
        except LedgerUnavailable:
            raise
        except BaseException as error:
            trace = call.trace
            if self._runtime.ledger is not None and not (trace.has_row or trace.is_left):
                await self._record(self._runtime.ledger, call, error)
            raise

    async def _record(self, ledger: Ledger, call: Call, error: BaseException) -> None:
        work = partial(ledger.arecord, *self._runtime.unmade(call, error))
        try:
            await async_run_to_end(work, self._runtime.tasks)
        except LedgerUnavailable as unavailable:
            if isinstance(error, Exception):
                raise
            log.warning("a cancelled call could not be recorded: %s", unavailable)

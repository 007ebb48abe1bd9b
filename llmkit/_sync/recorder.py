# Generated from llmkit/_async/recorder.py. Do not edit.
"""Around all middleware: it writes down the calls that no attempt could."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.errors import LedgerUnavailable, ProviderError, StreamClosed

if TYPE_CHECKING:
    from llmkit._sync.stream import Stream
    from llmkit.call import Call
    from llmkit.kit import Kit
    from llmkit.middleware import CallNext


class Recorder:
    """Sees to it that no call goes unrecorded.

    Every attempt writes its own row. A call that was refused before any attempt, by the limits, by a wrong argument or by the
    app's own middleware, gets its one row here, as attempt 0.
    """

    def __init__(self, kit: Kit, call_next: CallNext) -> None:
        self._kit = kit
        self._call_next = call_next

    def __call__(self, call: Call) -> Stream:
        """Pass the call on, and record it if it is refused."""
        try:
            return self._call_next(call)
        except (ProviderError, LedgerUnavailable, StreamClosed):
            raise
        except Exception as error:
            if self._kit.ledger is not None:
                self._kit.ledger.record(*self._kit.refused(call, error))
            raise

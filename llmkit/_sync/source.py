# Generated from llmkit/_async/source.py. Do not edit.
"""Where the events of a stream come from: an attempt, or whatever else can say them."""

from __future__ import annotations

from abc import ABC, abstractmethod

from llmkit.events import Event
from llmkit.response import Response, Status


class Source(ABC):
    """Says the events of one answer. `Stream` reads it, one read at a time, and closes it once."""

    @abstractmethod
    def read(self) -> list[Event] | None:
        """Return the next events, maybe none; None when the answer is complete.

        Raises:
            ProviderError: the answer broke off.
            StreamClosed: the call's signal was aborted. A source that waits adds a callback to it, so as to be woken.
        """

    @abstractmethod
    def close(self, error: BaseException | None) -> Status:
        """Let go of everything, after this error if there was one, and say how the answer ended."""

    @abstractmethod
    def response(self) -> Response:
        """Return the answer so far."""

    def try_release(self) -> bool:
        """Do what `close` does, if the answer is complete and nothing has to be waited for; else return False."""
        return False

    def abandon(self) -> None:  # noqa: B027  # what holds nothing has nothing to let go
        """Do what `close` does without waiting for it: the stream was dropped. May come from any thread."""

"""What cuts a stream into its events, whichever way a vendor marks them."""

from __future__ import annotations

from typing import Protocol

from llmkit.errors import FrameTooLarge
from llmkit.sse import ServerSentEvent


class Lines(Protocol):
    """Reads the lines of a stream: server-sent events, or one JSON document a line.

    Attributes:
        between: whether no event is begun.
        cut: whether the end of the body came in the midst of one.
        failure: why nothing more can be read.
        stray: what stands between the events, as far as there is room: some servers say there why they stop.
    """

    between: bool
    cut: bool
    stray: str
    failure: FrameTooLarge | None

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take in bytes; return the events that they complete.

        Raises:
            FrameTooLarge: an event is too long; those before it are returned first.
        """

    def close(self) -> list[ServerSentEvent]:
        """Take in the end; return an event that it completes.

        Raises:
            FrameTooLarge: as in `feed`.
        """

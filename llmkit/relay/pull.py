"""The relay for hosts that pull: WSGI, and whatever else iterates over a body in a thread."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Self

from llmkit._sync.stream import Stream, StreamManager
from llmkit._upstream import JOIN_LIMIT
from llmkit.errors import LLMKitError, StreamClosed
from llmkit.relay.dialects.text import HEADERS, HEARTBEAT, TextDialect
from llmkit.relay.problem import INTERNAL, Problem, problem_of

log = logging.getLogger("llmkit.relay")


class PullRelay:
    """Relays one answer as an iterator of bytes, with its status and headers.

    Making it opens the call and waits until the first content or the first heartbeat, whichever is first. The opening runs in a
    thread of its own, because a WSGI host learns of a closed tab only by writing, and so has to get its turn in between.

    Closing is idempotent and may come from any thread; it stops the call.

    Args:
        manager: the call, not opened yet.
        heartbeat: seconds of silence before a comment is sent.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        manager: StreamManager,
        *,
        heartbeat: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = HEADERS
        self._manager = manager
        self._heartbeat = heartbeat
        self._clock = clock
        self._dialect = TextDialect(manager.call.call_id)
        self._opened = threading.Event()
        self._stream: Stream | None = None
        self._error: BaseException | None = None
        self._first = b""
        self._ended = False
        self._opener = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._open,),
            name="llmkit-opener",
            daemon=True,
        )
        self._opener.start()
        if not self._opened.wait(heartbeat):
            self._first = HEARTBEAT
        elif isinstance(self._error, LLMKitError):
            self._refuse(problem_of(self._error))
        elif self._error is not None:
            raise self._error

    def _open(self) -> None:
        try:
            self._stream = self._manager.open()
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is waited for
            self._error = error
        finally:
            self._opened.set()
        if self._stream is not None and self._manager.call.signal.aborted:
            self._stream.close()

    def _refuse(self, problem: Problem) -> None:
        self._first = problem.body
        self._ended = True
        self.status = problem.status
        self.headers = {**problem.headers, "content-length": str(len(problem.body))}

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._ended:
            self.close()
            raise StopIteration
        try:
            return self._next_frames()
        except StreamClosed:
            self._ended = True
            raise StopIteration from None
        except LLMKitError as error:
            self._ended = True
            return self._dialect.error(problem_of(error))
        except Exception:
            log.exception("a relayed call failed")
            self._ended = True
            return self._dialect.error(INTERNAL)

    def _next_frames(self) -> bytes:
        if not self._opened.wait(self._heartbeat):
            return HEARTBEAT
        if self._error is not None:
            raise self._error
        stream = self._stream
        assert stream is not None  # noqa: S101  # opened, and without an error
        until = self._clock() + self._heartbeat
        while True:
            upstream = stream.waits_for
            if upstream is not None and not upstream.wait(until - self._clock()):
                return HEARTBEAT
            events = stream.read()
            if events is None:
                self._ended = True
                raise StopIteration
            frames = self._dialect.encode(events)
            if frames:
                self._ended = self._dialect.finished
                return frames

    def close(self) -> None:
        """Stop the call if it still runs, and let go of everything."""
        self._first = b""
        self._ended = True
        if self._stream is not None:
            self._stream.close()
            return
        self._manager.abort()
        self._opener.join(JOIN_LIMIT)

"""The relay for frameworks that iterate over a response body in a thread, as WSGI does."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Self

from llmkit._sync.stream import StreamManager
from llmkit.concurrency.host_threads import Work, in_host_thread
from llmkit.errors import LedgerUnavailable, LLMKitError, StreamClosed
from llmkit.relay.dialects.text import HEADERS, HEARTBEAT, TextDialect
from llmkit.relay.problem import INTERNAL, Problem, problem_of

log = logging.getLogger("llmkit.relay")

# What may wait for a slow browser before the provider has to wait too, in reads and in bytes.
QUEUE_LENGTH = 64
QUEUE_BYTES = 64 * 1024
# How long the reader's thread is waited for, in seconds.
JOIN_LIMIT = 1.0
NOT_OPEN = "the relay is not open: call open() before it is read"


class PullRelay:
    """Relays one answer as an iterator of bytes, with its status and headers.

    A separate thread opens the call and reads it into a short queue, so that the framework's thread never waits for longer than a
    heartbeat: a WSGI server notices a closed tab only when it writes. `open` waits for the first content or the first heartbeat,
    whichever comes first. Everything that has gathered in the meantime is sent in one piece.

    `close` stops the call. It may be called from any thread, and more than once.

    Args:
        manager: the call, not opened yet.
        heartbeat: seconds of silence before a comment is sent.
        tool_details: whether the browser sees what tools are called with, and what they return.
        taken: called when the first piece is taken; by then the framework's middleware has handled the response.
        clock: gives the time in seconds.
    """

    def __init__(
        self,
        manager: StreamManager,
        *,
        heartbeat: float,
        tool_details: bool = False,
        taken: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = HEADERS
        self._heartbeat = heartbeat
        self._taken = taken
        self._dialect = TextDialect(manager.call.call_id, tool_details=tool_details)
        self._first = b""
        self._ended = False
        # The thread knows the queue and not the body, so that a body that is dropped is noticed.
        self._reading = _Reading(manager, self._dialect, clock)
        self._thread: threading.Thread | None = None

    def open(self) -> Self:
        """Start the thread, which opens the call, and wait for its status.

        Raises:
            Exception: what a middleware of the app's own raised before anything was sent.
        """
        self._thread = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._reading.run,),
            name="llmkit-reader",
            daemon=True,
        )
        self._thread.start()
        try:
            self._first = self._take()
        except StopIteration:
            self._ended = True
        except LLMKitError as error:
            self._refuse(problem_of(error))
        return self

    def _refuse(self, problem: Problem) -> None:
        answer = problem.answer
        self._first = answer.body
        self._ended = True
        self.status = answer.status
        self.headers = answer.headers

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            if self._taken is not None:
                self._taken()
            return first
        if self._ended:
            raise StopIteration
        if self._thread is None:
            raise RuntimeError(NOT_OPEN)
        try:
            return self._take()
        except StopIteration:
            self._ended = True
            raise
        except LLMKitError as error:
            self._ended = True
            return self._dialect.error(problem_of(error))
        except Exception:
            log.exception("a relayed call failed")
            self._ended = True
            return self._dialect.error(INTERNAL)

    def _take(self) -> bytes:
        """Return the frames that are there, or the next ones, or a heartbeat; at the end StopIteration or the error."""
        frames = self._reading.take(self._heartbeat)
        if frames is None:
            return HEARTBEAT
        if frames:
            return frames
        error = self._reading.error
        if error is None or isinstance(error, StreamClosed):
            raise StopIteration
        raise error

    def close(self) -> None:
        """Stop the call if it still runs, and let go of everything."""
        self._first = b""
        self._ended = True
        self._reading.stop()
        if self._thread not in (None, threading.current_thread()):
            self._reading.serve(JOIN_LIMIT)
            self._thread.join(JOIN_LIMIT)
        self._reading.leave()

    def __del__(self) -> None:
        if hasattr(self, "_reading"):
            self._reading.stop()
            self._reading.leave()


class _Errand:
    """What the reader's thread has the host's thread do: to write a row on a connection that belongs to it."""

    __slots__ = ("_done", "_error", "_work")

    def __init__(self, work: Work) -> None:
        self._work = work
        self._done = threading.Event()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do it, in the host's thread."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is waited for
            self._error = error
        self._done.set()

    def refuse(self) -> None:
        """Say that nobody does it."""
        self._error = LedgerUnavailable("the thread with the ledger's connection has ended")
        self._done.set()

    def wait(self) -> None:
        """Wait until it is done, in the reader's thread; raise what it raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error


class _Reading:
    """What the reader's thread and the host's thread share: a queue with an end."""

    def __init__(
        self, manager: StreamManager, dialect: TextDialect, clock: Callable[[], float]
    ) -> None:
        self.error: BaseException | None = None
        self._manager = manager
        self._dialect = dialect
        self._clock = clock
        self._lock = threading.RLock()  # a collector may stop it within
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._frames: list[bytes] = []
        self._size = 0
        self._errands: list[_Errand] = []
        self._ended = False
        self._stopped = False
        self._left = False

    def run(self) -> None:
        """Open the call and read it to its end: the thread's work."""
        in_host_thread.set(self._run_in_host_thread)
        try:
            with self._manager as stream:
                while (events := stream.read()) is not None:
                    frames = self._dialect.encode(events)
                    if frames and not self._put(frames):
                        break
        except BaseException as error:  # noqa: BLE001  # it is raised again where it is waited for
            self.error = error
        finally:
            with self._lock:
                self._ended = True
                self._changed.notify_all()

    def take(self, seconds: float) -> bytes | None:
        """Return all frames that wait, nothing at the end; None when there were none for so long."""
        until = self._clock() + seconds
        while True:
            with self._lock:
                while not (self._frames or self._errands):
                    if self._ended or self._stopped:
                        return b""
                    left = until - self._clock()
                    if left <= 0:
                        return None
                    self._wait(left)
                if self._frames:
                    frames = b"".join(self._frames)
                    self._frames.clear()
                    self._size = 0
                    self._wake()
                    return frames
                errand = self._errands.pop(0)
            errand.run()

    def serve(self, seconds: float) -> None:
        """Run errands until the reader's thread has nothing more to do, or for so long."""
        until = self._clock() + seconds
        while True:
            with self._lock:
                while not self._errands:
                    left = until - self._clock()
                    if self._ended or left <= 0:
                        return
                    self._wait(left)
                errand = self._errands.pop(0)
            errand.run()

    def leave(self) -> None:
        """Run no more errands."""
        with self._lock:
            self._left = True
            errands, self._errands = self._errands, []
        for errand in errands:
            errand.refuse()

    def stop(self) -> None:
        """Stop the call, whatever it waits for."""
        with self._lock:
            self._stopped = True
            ended = self._ended
            self._changed.notify_all()
        if not ended:
            self._manager.abort()

    def _run_in_host_thread(self, work: Work) -> None:
        errand = _Errand(work)
        with self._lock:
            left = self._left
            if not left:
                self._errands.append(errand)
                self._changed.notify_all()
        if left:
            errand.refuse()
        errand.wait()

    def _is_full(self) -> bool:
        return len(self._frames) >= QUEUE_LENGTH or self._size >= QUEUE_BYTES

    def _put(self, frames: bytes) -> bool:
        with self._lock:
            while self._is_full() and not self._stopped:
                self._wait(None)
            self._frames.append(frames)
            self._size += len(frames)
            self._wake()
            return not self._stopped

    def _wait(self, seconds: float | None) -> None:
        self._waiting += 1
        try:
            self._changed.wait(seconds)
        finally:
            self._waiting -= 1

    def _wake(self) -> None:
        if self._waiting:  # in a burst hardly ever, and to tell nobody takes as long as to put
            self._changed.notify_all()

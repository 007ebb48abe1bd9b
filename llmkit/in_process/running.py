"""A function that runs, and what it has said so far: in a thread of its own, or in a task of the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from contextvars import copy_context
from typing import Any

from llmkit.concurrency.tasks import thread_safe
from llmkit.errors import ConnectionFailed, ProviderError
from llmkit.in_process.lines import END, failure_of, pieces_of, written
from llmkit.providers.failures import Origin
from llmkit.tracebacks import place_of

log = logging.getLogger("llmkit.stream")

# How many pieces may wait for whoever reads them: then the function waits.
_WAITING = 64
_OVER = object()


class _Stopped(Exception):
    """Nobody reads any more."""


class Running:
    """A function in a thread of its own, as an exchange for threads. Whoever is stopped reads no more; the function ends where it next yields.

    Args:
        ask: asks the model; returns what it says, in pieces or whole.
        origin: whose answer it is.
    """

    status = 200
    sent = True

    def __init__(self, ask: Callable[[], Any], origin: Origin) -> None:
        self.headers: Mapping[str, str] = {}
        self._ask = ask
        self._origin = origin
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._ended = False
        self._stopped = False

    def open(self) -> None:
        """Begin, unless it was stopped before."""
        if self._stopped:
            raise ConnectionFailed("the function was stopped")
        run = copy_context().run
        threading.Thread(target=run, args=(self._run,), name="llmkit-model", daemon=True).start()

    def read(self) -> bytes:
        """Return what it has said since; nothing when it has said all."""
        with self._changed:
            self._changed.wait_for(self._is_new)
            return self._take()

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception of the function's means."""
        return failure_of(self._origin, error)

    def abort(self) -> None:
        """Read no more, and stop it."""
        with self._changed:
            self._stopped = True
            self._tell()

    @property
    def is_over(self) -> bool:
        """Whether the answer is known to be over: only the next read says."""
        return False

    def try_release(self) -> bool:
        """Say whether it has ended."""
        return self._ended

    def close(self) -> None:
        """Stop it, if it has not ended."""
        self.abort()

    def _is_new(self) -> bool:
        return bool(self._pieces) or self._ended or self._stopped

    def _take(self) -> bytes:
        if self._pieces:
            found = b"".join(self._pieces)
            self._pieces.clear()
            self._changed.notify_all()
            return found
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._stopped:
            raise ConnectionFailed("the function was stopped")
        return b""

    def _tell(self) -> None:
        """Wake whoever reads, or waits for a reader."""
        self._changed.notify_all()

    def _say(self, piece: bytes) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._pieces) < _WAITING or self._stopped)
            if self._stopped:
                raise _Stopped
            self._pieces.append(piece)
            self._tell()

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            with closing(pieces_of(self._ask())) as pieces:
                for said in pieces:
                    self._say(written(said))
            self._say(END)
        except _Stopped:
            pass
        except StopIteration as error:  # which no coroutine can raise
            failure = failure_of(self._origin, error)
        except Exception as error:  # noqa: BLE001  # it is for whoever reads
            failure = error
            if self._stopped:
                _log_untidy(self._origin, error)
        except BaseException as error:  # noqa: BLE001  # it ends the function, and not whoever reads
            failure = failure_of(self._origin, error)
        with self._changed:
            self._failure, self._ended = failure, True
            self._tell()


class AsyncRunning(Running):
    """The same function in a thread, as an exchange for event loops."""

    def __init__(self, ask: Callable[[], Any], origin: Origin) -> None:
        super().__init__(ask, origin)
        self._wake = asyncio.Event()
        self._wake_soon = thread_safe(asyncio.get_running_loop(), self._wake.set)

    async def open(self) -> None:  # type: ignore[override]
        """Begin."""
        super().open()

    async def read(self) -> bytes:  # type: ignore[override]
        """Return what it has said since; nothing when it has said all."""
        while True:
            with self._changed:
                if self._is_new():
                    return self._take()
                self._wake.clear()
            await self._wake.wait()

    async def aclose(self) -> None:
        """Stop it, if it has not ended."""
        self.abort()

    def _tell(self) -> None:
        super()._tell()
        self._wake_soon()


class AsyncTask:
    """A function of the event loop's, as an exchange: it runs as far as it is read."""

    status = 200
    sent = True

    def __init__(self, ask: Callable[[], Any], origin: Origin) -> None:
        self.headers: Mapping[str, str] = {}
        self._ask = ask
        self._origin = origin
        self._pieces: Any = None
        self._step: asyncio.Future[Any] | None = None
        self._ended = False
        self._stopped = False

    async def open(self) -> None:
        """Begin."""
        self._pieces = _async_pieces_of(self._ask)

    async def read(self) -> bytes:
        """Return what it says next; nothing when it has said all."""
        if self._ended or self._stopped:
            return self._end()
        step = self._step = asyncio.ensure_future(self._next())
        try:
            await asyncio.wait({step})
        finally:
            if not step.done():
                step.cancel()
        if self._stopped:
            return self._end()
        if step.cancelled():  # by itself: nobody here has
            raise failure_of(self._origin, asyncio.CancelledError())
        said = step.result()
        if said is _OVER:
            self._ended = True
            return END
        return written(said)

    async def _next(self) -> Any:
        """Wait for the next piece. What ends a process or a generator is a failure here: the event loop goes on. Ctrl-C is not the function's."""
        try:
            return await anext(self._pieces, _OVER)
        except (Exception, asyncio.CancelledError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  # as it says
            failure = failure_of(self._origin, error)
        raise failure

    def _end(self) -> bytes:
        if not self._ended:
            raise ConnectionFailed("the function was stopped")
        return b""

    def to_error(self, error: Exception) -> ProviderError:
        """Say what an exception of the function's means."""
        return failure_of(self._origin, error)

    def abort(self) -> None:
        """Read no more, and stop it."""
        self._stopped = True
        if self._step is not None:
            self._step.cancel()

    @property
    def is_over(self) -> bool:
        """Whether the answer is known to be over: only the next read says."""
        return False

    def try_release(self) -> bool:
        """Say whether it has ended."""
        return self._ended

    async def aclose(self) -> None:
        """Stop it, if it has not ended."""
        self.abort()
        if self._step is not None:
            await asyncio.wait({self._step})
        if self._pieces is not None:
            try:
                await self._pieces.aclose()
            except (Exception, SystemExit, asyncio.CancelledError) as error:
                # The app's own clean-up: the answer does not hang on it.
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                    raise
                _log_untidy(self._origin, error)


def _log_untidy(origin: Origin, error: BaseException) -> None:
    """Note a clean-up that failed, without its words; the answer does not hang on it."""
    log.warning("a function of %s failed as it was stopped: %s", origin.provider, place_of(error))


async def _async_pieces_of(ask: Callable[[], Any]) -> AsyncIterator[Any]:
    returned = ask()  # a function that only returns what is awaited may fail here, too
    if not hasattr(returned, "__aiter__"):
        returned = await returned
    if not hasattr(returned, "__aiter__"):
        for piece in pieces_of(returned):
            yield piece
        return
    try:
        async for piece in returned:
            if piece is not None:
                yield piece
    finally:
        if hasattr(returned, "aclose"):  # now, and not when it is found to be garbage
            await returned.aclose()

"""What the emulator was asked, and what became of it: written on its loop, read from any thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llmkit.testing.emulator.http import Request

State = Literal["answering", "finished", "client_gone"]

_SECRETS = frozenset(
    ("x-api-key", "api-key", "x-goog-api-key", "authorization", "proxy-authorization", "cookie")
)


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as it was received, and the state of its answer at that moment.

    Attributes:
        index: its number since the start or the last reset, starting at 0.
        connection: the number of its TCP connection, from 0.
        path: without the query.
        headers: names in lower case; keys and cookies are replaced by "[redacted]".
        body: the decoded JSON; None if it was not JSON.
        status: the HTTP status of the answer; None for a connection closed without one.
        state: answering, then finished once everything has been sent (also if the answer was cut
            on purpose), or client_gone if the client disconnected before.
        tokens_sent: tokens of the answer sent so far, thinking included.
    """

    index: int
    connection: int
    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Any = field(repr=False)
    status: int | None
    state: State
    tokens_sent: int


class Entry:
    """The live side of a `ReceivedRequest`."""

    __slots__ = (
        "_log",
        "_request",
        "_tokens_sent",
        "connection",
        "document",
        "index",
        "state",
        "status",
    )

    def __init__(
        self, log: RequestLog, request: Request, document: Any, *, index: int, connection: int
    ) -> None:
        self._log = log
        self._request = request
        self._tokens_sent = 0
        self.index = index
        self.connection = connection
        self.document = document
        self.status: int | None = None
        self.state: State = "answering"

    def tokens_are_sent(self, count: int) -> None:
        """Note how many tokens have been sent by now."""
        self._tokens_sent = count
        self._log.changed()

    def ends(self, state: State) -> None:
        """Note the end, the first one only."""
        if self.state == "answering":
            self.state = state
            self._log.changed()

    def snapshot(self) -> ReceivedRequest:
        """Copy what is known now."""
        request = self._request
        return ReceivedRequest(
            index=self.index,
            connection=self.connection,
            method=request.method,
            path=request.path,
            headers={name: _redacted(name, value) for name, value in request.headers.items()},
            body=self.document,
            status=self.status,
            state=self.state,
            tokens_sent=self._tokens_sent,
        )


class RequestLog:
    """The requests, the newest `keep` of them, and the count of open connections."""

    def __init__(self, keep: int) -> None:
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._count = 0
        self._connections = 0
        self._changed = threading.Condition()
        self._waiters = 0

    @property
    def count(self) -> int:
        """How many requests there were since the start or the last reset."""
        return self._count

    @property
    def connections(self) -> int:
        """How many TCP connections are open."""
        return self._connections

    def add(self, request: Request, document: Any, connection: int) -> Entry:
        """Note a request."""
        with self._changed:
            entry = Entry(self, request, document, index=self._count, connection=connection)
            self._entries.append(entry)
            self._count += 1
        self.changed()
        return entry

    def set_connections(self, count: int) -> None:
        """Note how many connections are open."""
        self._connections = count
        self.changed()

    def clear(self) -> None:
        """Forget the requests."""
        with self._changed:
            self._entries.clear()
            self._count = 0
        self.changed()

    def changed(self) -> None:
        """Wake who waits. Costs nothing while nobody does."""
        # Without the lock: who waits counts itself in before it looks, so that it has either seen
        # this change or is woken.
        if self._waiters:
            with self._changed:
                self._changed.notify_all()

    def snapshots(self) -> list[ReceivedRequest]:
        """Copy what is known now, the oldest first."""
        with self._changed:
            entries = list(self._entries)
        return [entry.snapshot() for entry in entries]

    def entry(self, index: int) -> Entry | None:
        """Find a request by its index; None if it has not come, or is no longer kept."""
        with self._changed:
            first = self._count - len(self._entries)
            return self._entries[index - first] if first <= index < self._count else None

    def wait(self, condition: Callable[[], bool], timeout: float, what: str) -> None:
        """Wait until the condition holds.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        with self._changed:
            self._waiters += 1
            try:
                came = self._changed.wait_for(condition, timeout)
            finally:
                self._waiters -= 1
        if not came:
            raise TimeoutError(f"waited {timeout:g} s for {what}; {self._summary()}")

    def _summary(self) -> str:
        requests = ", ".join(
            f"#{each.index} {each.state} ({each.tokens_sent} tokens sent)"
            for each in self.snapshots()[-8:]
        )
        return f"connections open: {self._connections}; requests: {requests or 'none'}"


def _redacted(name: str, value: str) -> str:
    return "[redacted]" if name in _SECRETS else value

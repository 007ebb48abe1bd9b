"""The calls of a process that several ask for: who asks the same at the same time gets one answer."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    import asyncio

    from llmkit.cache.answers import Question
    from llmkit.call import Call
    from llmkit.concurrency.abort import AbortSignal
    from llmkit.concurrency.threads import Owner
    from llmkit.errors import BudgetExceeded


class FlightKey(NamedTuple):
    """What has to be the same.

    Attributes:
        question: what is asked, and how old an answer may be.
        streaming: whether the answer is read while it arrives: it has other time limits then.
        owner: the event loop, or the threads, in which it is waited for.
    """

    question: Question
    streaming: bool
    owner: Owner


class Listener(Protocol):
    """Somebody who wants the answer of a flight.

    Attributes:
        call: who asks.
        leads: whether the flight is of this call, which pays for it.
        refused: why its budget did not let it.
    """

    call: Call
    leads: bool
    refused: BudgetExceeded | None

    def abandon(self) -> None:
        """Leave it, and write that down, without waiting."""


class Flight(Protocol):
    """One call for several.

    Attributes:
        followers: who wants its answer.
        signal: stops the call.
    """

    followers: set[Listener]
    signal: AbortSignal

    @property
    def may_be_wanted(self) -> bool:
        """Whether anybody else may want it: other processes are asked first."""

    def abandon(self) -> None:
        """Stop it, and let all leave."""


FlightT = TypeVar("FlightT", bound=Flight)


class Flights:
    """Those that are under way. A fork has none of its parent's: their keys name its process."""

    def __init__(self) -> None:
        self._flights: dict[FlightKey, Flight] = {}
        # Reentrant, for a collector may let a follower go within. A fork has its own.
        self._locks: dict[int, threading.RLock] = {}

    def __len__(self) -> int:
        return sum(key.owner.pid == os.getpid() for key in list(self._flights))

    def join(
        self, key: FlightKey, follower: Listener, make: Callable[[], FlightT]
    ) -> tuple[FlightT, bool]:
        """Let somebody follow the flight of that key.

        Returns:
            The flight, and whether it is a new one, which this follower has to begin.
        """
        with self._lock:
            flight: FlightT | None = self._flights.get(key)  # type: ignore[assignment]  # the owner says of which kind
            if flight is not None:
                flight.followers.add(follower)
                if self._flights.get(key) is flight:
                    return flight, False
            flight = make()
            flight.followers.add(follower)
            self._flights[key] = flight
            return flight, True

    def leave(self, key: FlightKey, flight: Flight, follower: Listener) -> None:
        """Let somebody leave; the call is stopped if it was the last one, and nobody else may want it."""
        with self._lock:
            flight.followers.discard(follower)
        if not flight.may_be_wanted:
            self.stop(key, flight)

    def stop(self, key: FlightKey, flight: Flight) -> None:
        """Stop a call that nobody follows."""
        with self._lock:
            if flight.followers:
                return
            self.remove(key, flight)
        flight.signal.abort()

    def remove(self, key: FlightKey, flight: Flight) -> None:
        """Let nobody else follow it."""
        with self._lock:
            if self._flights.get(key) is flight:
                del self._flights[key]

    def abandon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop those of a loop that ends, and let all leave."""
        for key, flight in list(self._flights.items()):
            if key.owner.pid == os.getpid() and key.owner.loop is loop:
                self.remove(key, flight)
                flight.abandon()

    @property
    def _lock(self) -> threading.RLock:
        pid = os.getpid()
        return self._locks.get(pid) or self._locks.setdefault(pid, threading.RLock())

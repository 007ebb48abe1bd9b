"""The one state machine that decides what a call does next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llmkit.errors import (
    BudgetExceeded,
    ConnectionFailed,
    LLMKitError,
    ProviderError,
    ProviderTimeout,
)
from llmkit.policy.backoff import RetryPolicy
from llmkit.providers.base import Provider


@dataclass(frozen=True, slots=True)
class Route:
    """A model at a provider."""

    provider: Provider
    model: str


@dataclass(frozen=True, slots=True)
class Try:
    """Make an attempt on this route after so many seconds. `attempt` counts from 1 over the whole call.

    With `fresh`, it has to go over a new connection: a kept one to this route has just turned out to be dead.
    """

    route: Route
    attempt: int
    wait: float
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Raise this error."""

    error: LLMKitError


Step = Try | GiveUp


class Plan:
    """Decides the attempts of one call: which route, after what wait, and when to stop.

    The route that is ready first is tried; of those that are, one that was not tried yet before one that failed, and the more preferred
    one before the other. A route that failed is ready again after its backoff, or when its provider said; one whose failure cannot mend, or
    not soon, is never tried again. One budget of attempts and one deadline hold for the whole call.

    A kept connection that had died says nothing of its provider: the route is tried again at once, over a new connection. Once in a call,
    for a new one that dies as quickly does say something.

    Args:
        routes: in order of preference, at least one.
        retry: how many attempts, with what waits.
        deadline: when the call's time is over, by `clock`.
        clock: gives the time in seconds.
        chance: gives a random number from 0 to 1.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        retry: RetryPolicy,
        *,
        deadline: float,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self._retry = retry
        self.deadline = deadline
        self._clock = clock
        self._chance = chance
        self._routes = routes
        self._ready_at = dict.fromkeys(range(len(routes)), 0.0)
        self._failures = [0] * len(routes)
        self._stale: set[int] = set()
        self._went_on_at_once = False
        self._now_trying = 0
        self._attempts = 0
        self._refusals = 0
        self._silences = 0
        self._error: LLMKitError | None = None

    def next(self) -> Step:
        """Say what to do now. Ask at the start and after every `failed`."""
        if self._error is not None and not self._may_go_on():
            return GiveUp(self._error)
        now = self._clock()
        at = min(self._ready_at, key=lambda index: self._order(index, now))
        wait = max(0.0, self._ready_at[at] - now)
        if self._error is not None and now + wait >= self.deadline:
            return GiveUp(self._error)
        self._now_trying = at
        self._attempts += 1
        return Try(self._routes[at], self._attempts, wait, at in self._stale)

    def failed(self, error: LLMKitError) -> None:
        """Take note that the attempt failed."""
        self._error = error
        at = self._now_trying
        if not self._may_mend(error):
            del self._ready_at[at]
            return
        if self._was_stale(error) and not self._went_on_at_once:
            self._went_on_at_once = True
            return
        self._failures[at] += 1
        retry_after = error.retry_after if isinstance(error, ProviderError) else None
        wait = self._retry.delay(self._failures[at], retry_after=retry_after, chance=self._chance())
        if wait is None:
            del self._ready_at[at]
        else:
            self._ready_at[at] = self._clock() + wait

    def passed_over(self, error: LLMKitError) -> None:
        """Take note that the route has no way to say this call: nothing was sent, and only if no route has is this the call's error."""
        del self._ready_at[self._now_trying]
        self._attempts -= 1
        self._error = self._error or error

    def refused(self, error: BudgetExceeded) -> None:
        """Take note that a budget has no room for an attempt on this route, which has a row that says so. Nothing was sent."""
        del self._ready_at[self._now_trying]
        self._refusals += 1
        if self._error is None:
            self._error = error
        elif isinstance(self._error, ProviderError):
            # What went wrong first says more than that it could not be tried again.
            hint = f"It was not tried again: {error.message}."
            self._error.hint = f"{self._error.hint} {hint}" if self._error.hint else hint

    def _was_stale(self, error: LLMKitError) -> bool:
        """Take note whether the kept connections to the route that was tried are too old to be used."""
        self._stale.discard(self._now_trying)
        if not isinstance(error, ConnectionFailed) or not error.stale:
            return False
        self._stale.add(self._now_trying)
        return True

    def _order(self, index: int, now: float) -> tuple[float, bool, int]:
        return max(now, self._ready_at[index]), self._failures[index] > 0, index

    def _may_go_on(self) -> bool:
        return (
            self._attempts - self._refusals < self._retry.attempts
            and bool(self._ready_at)
            and self._clock() < self.deadline
        )

    def _may_mend(self, error: LLMKitError) -> bool:
        if isinstance(error, ProviderTimeout) and error.clock in ("first_content", "idle"):
            # The silent attempt may already be on the bill, so silence is answered with one more attempt at most.
            self._silences += 1
            return self._silences <= 1
        return isinstance(error, ProviderError) and error.can_retry

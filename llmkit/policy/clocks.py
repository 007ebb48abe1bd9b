"""The clocks of one call: which of them runs out first, and which did."""

from __future__ import annotations

from dataclasses import dataclass

from llmkit.errors import Clock

# How long an answer may be silent, in seconds, once it has said why it stops: its usage and its end marker may follow.
END_SILENCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each clock runs, in seconds. None is never."""

    connect: float = 5.0
    first_content: float | None = 120.0
    idle: float | None = 60.0
    total: float = 600.0


class Clocks:
    """Watches one attempt. Pure: it is told the time, and says when to look again.

    The connect clock belongs to the transport, which alone knows when a connection is made. Content resets the idle clock;
    pings and other signs of life do not.

    Args:
        timeouts: how long each clock runs.
        now: the time at which the attempt begins, in seconds.
        deadline: when the total clock of the whole call runs out.

    Attributes:
        silent_since: when content came last, or was last waited for.
        first_content_at: when content came first.
    """

    __slots__ = ("_deadline", "_stopping", "_timeouts", "first_content_at", "silent_since")

    def __init__(self, timeouts: Timeouts, *, now: float, deadline: float) -> None:
        self._timeouts = timeouts
        self._deadline = deadline
        self.silent_since = now
        self._stopping = False
        self.first_content_at: float | None = None

    def sent(self, now: float) -> None:
        """Take note that the request goes out: what was waited for until now was not the provider."""
        self.silent_since = now

    def content(self, now: float) -> None:
        """Take note of content."""
        self.silent_since = now
        if self.first_content_at is None:
            self.first_content_at = now

    def stopping(self, now: float, *, stops: bool = True) -> None:
        """Take note that the answer has said why it stops: `END_SILENCE` now ends it; or that it goes on after all."""
        self._stopping = stops
        self.silent_since = now

    def paused(self, seconds: float) -> None:
        """Take note that nobody was reading for so long, which is not the provider's silence."""
        if self.first_content_at is not None or self._stopping:
            self.silent_since += seconds

    @property
    def deadline(self) -> float:
        """When the next clock runs out, if nothing comes before."""
        limit = self._silence_limit
        if limit is None:
            return self._deadline
        return min(self._deadline, self.silent_since + limit)

    def next_look(self, now: float) -> float:
        """When to look at the clocks again, if it is not told before: before any clock can run out, also if content comes now."""
        idle = self._timeouts.idle
        if idle is None or self.first_content_at is not None:
            return self.deadline
        return min(self.deadline, now + idle)

    def left(self, now: float) -> float:
        """Return how many seconds the whole call has left."""
        return max(0.0, self._deadline - now)

    def connect_limit(self, now: float) -> float:
        """Return how many seconds connecting may take: never longer than until the next of the other clocks."""
        return max(0.001, min(self._timeouts.connect, self.deadline - now))

    def ran_out(self, now: float) -> Clock | None:
        """Say which clock has run out, if one has."""
        if now < self.deadline:
            return None
        if now >= self._deadline:
            return "total"
        return "idle" if self._stopping or self.first_content_at is not None else "first_content"

    def seconds(self, clock: Clock) -> float:
        """Return how long a clock runs."""
        value: float | None = getattr(self._timeouts, clock)
        return self._timeouts.total if value is None else value

    @property
    def _silence_limit(self) -> float | None:
        if self._stopping:
            return min(END_SILENCE, self._timeouts.idle or END_SILENCE)
        if self.first_content_at is None:
            return self._timeouts.first_content
        return self._timeouts.idle

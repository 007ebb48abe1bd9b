"""How long to wait before the next attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with jitter. Times are seconds; `attempts` counts the first one too."""

    attempts: int = 4
    wait_initial: float = 1.0
    wait_max: float = 60.0
    wait_jitter: float = 0.2

    def delay(self, failures: int, *, retry_after: float | None, chance: float) -> float:
        """Return the seconds to wait after the given number of failures.

        What the provider asks for in `retry_after` is honoured and not cut; the plan gives up when it is too long. Jitter
        only adds, by up to `wait_jitter` of the wait, so that nobody comes back before the provider said.

        Args:
            failures: how many attempts have failed, from 1.
            retry_after: what the provider asked for, or None.
            chance: a random number from 0 to 1.
        """
        wait = min(self.wait_max, self.wait_initial * 2.0 ** min(failures - 1, 64))
        if retry_after is not None:
            wait = max(wait, retry_after) if retry_after > 0 else wait
        return wait * (1 + self.wait_jitter * chance)

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

    def delay(self, failures: int, *, retry_after: float | None, chance: float) -> float | None:
        """Return the seconds to wait after the given number of failures; None if it is not worth it.

        The wait doubles with every failure up to `wait_max`; jitter takes or adds up to `wait_jitter` of it. What the provider
        asks for is a floor, to which jitter only adds; one that is longer than `wait_max` is not waited for at all.

        Args:
            failures: how many attempts have failed, from 1.
            retry_after: what the provider asked for, or None.
            chance: a random number from 0 to 1.
        """
        wait = min(self.wait_max, self.wait_initial * 2.0 ** min(failures - 1, 64))
        wait *= 1 + self.wait_jitter * (2 * chance - 1)
        if not retry_after:
            return wait
        if retry_after > self.wait_max:
            return None
        return max(wait, retry_after * (1 + self.wait_jitter * chance))

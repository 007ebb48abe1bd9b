"""How long to wait before the next attempt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential backoff with jitter. Times are in seconds; `attempts` includes the first one."""

    attempts: int = 4
    wait_initial: float = 1.0
    wait_max: float = 60.0
    wait_jitter: float = 0.2

    def delay(self, failures: int, *, retry_after: float | None, chance: float) -> float | None:
        """Return how many seconds to wait after this number of failures; None to give up.

        The wait doubles with every failure, up to `wait_max`; jitter changes it by up to `wait_jitter` in either direction. The wait
        that the provider asks for is the minimum, and jitter only adds to it. If it is longer than `wait_max`, llmkit gives up.

        Args:
            failures: how many attempts have failed, starting from 1.
            retry_after: the wait that the provider asked for, or None.
            chance: a random number from 0 to 1.
        """
        wait = min(self.wait_max, self.wait_initial * 2.0 ** min(failures - 1, 64))
        wait *= 1 + self.wait_jitter * (2 * chance - 1)
        if not retry_after:
            return wait
        if retry_after > self.wait_max:
            return None
        return max(wait, retry_after * (1 + self.wait_jitter * chance))

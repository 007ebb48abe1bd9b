"""What a process may use while its budgets cannot be asked."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from llmkit.policy.budgets.amounts import NOTHING, UNITS, Unit, Units, nano_dollars
from llmkit.policy.budgets.decide import Claim

if TYPE_CHECKING:
    from llmkit.config import Config

log = logging.getLogger("llmkit.budget")

# How long nothing may fail before an outage counts as over, in seconds.
_QUIET = 10.0


class Allowance:
    """So much that calls may use from when the store of the budgets went away until it is back. Threads share it.

    A store may be away in part: it is back when nothing has failed for a while.

    Args:
        most: of which units, dollars in billionths. One that is not named is not limited.
        clock: gives the time in seconds.
    """

    def __init__(
        self, most: Mapping[Unit, int], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._taken = NOTHING
        self._failed_at = 0.0
        self._is_said = False

    @classmethod
    def of(cls, config: Config, *, clock: Callable[[], float]) -> Self | None:
        """Make what the settings allow; None if that is nothing."""
        if config.on_store_error == "closed":
            return None
        most = config.on_store_error.most
        return cls(
            {
                unit: nano_dollars(most[unit]) if unit == "usd" else int(most[unit])
                for unit in UNITS
                if unit in most
            },
            clock=clock,
        )

    def take(self, claims: Sequence[Claim]) -> bool:
        """Let a call use what it asks of its budgets; say whether there is so much. What it may cost has to be known where that is limited."""
        # Each budget counts the same call.
        asked = Units(**{unit: max(claim.amount.get(unit) for claim in claims) for unit in UNITS})
        is_known = all(
            unit == "requests" or any(unit in claim.limits for claim in claims)
            for unit in self._most
        )
        with self._lock:
            self._failed_at = self._clock()
            after = self._taken + asked
            fits = is_known and all(after.get(unit) <= most for unit, most in self._most.items())
            is_first = self._taken == NOTHING
            if fits:
                self._taken = after
            is_over = not fits and not self._is_said
            self._is_said = self._is_said or is_over
        if fits and is_first:
            log.warning(
                "budgets cannot be asked: calls are made within the allowance (on_store_error)"
            )
        if is_over:
            log.warning(
                "budgets cannot be asked, and a call does not fit into the allowance (on_store_error): it is refused, as all that do not"
            )
        return fits

    def renew(self) -> None:
        """Take note that the store has answered."""
        if self._taken == NOTHING and not self._is_said:
            return
        with self._lock:
            if self._clock() - self._failed_at >= _QUIET:
                self._taken = NOTHING
                self._is_said = False

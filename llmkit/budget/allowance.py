"""What a process may use while its budgets cannot be asked."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Self

from llmkit.policy.budgets.amounts import NOTHING, UNITS, Unit, Units, nano_dollars
from llmkit.policy.budgets.decide import Claim

if TYPE_CHECKING:
    from llmkit.config import Config

log = logging.getLogger("llmkit.budget")


class Allowance:
    """So much that calls may use from when the store of the budgets went away until it is back. Threads share it.

    Args:
        most: of which units, dollars in billionths. One that is not named is not limited.
    """

    def __init__(self, most: Mapping[Unit, int]) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._taken = NOTHING

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """Make what the settings allow; None if that is nothing."""
        if config.on_store_error == "closed":
            return None
        most = config.on_store_error.most
        return cls(
            {
                unit: nano_dollars(most[unit]) if unit == "usd" else int(most[unit])
                for unit in UNITS
                if unit in most
            }
        )

    def take(self, claims: Sequence[Claim]) -> bool:
        """Let a call use what it asks of its budgets; say whether there is so much."""
        # Each budget counts the same call.
        asked = Units(**{unit: max(claim.amount.get(unit) for claim in claims) for unit in UNITS})
        with self._lock:
            before, after = self._taken, self._taken + asked
            if any(after.get(unit) > limit for unit, limit in self._most.items()):
                return False
            self._taken = after
        if before == NOTHING:
            log.warning(
                "budgets cannot be asked: calls are made within the allowance (on_store_error)"
            )
        return True

    def renew(self) -> None:
        """Take note that the store is back."""
        if self._taken != NOTHING:
            with self._lock:
                self._taken = NOTHING

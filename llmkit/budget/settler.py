"""What calls have used is charged by a thread of its own: nobody waits for it, and it is tried again until the store takes it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from llmkit.concurrency.later import Later
from llmkit.errors import BudgetUnavailable
from llmkit.redis.asking import RedisUnavailable, ScriptFailed

if TYPE_CHECKING:
    from datetime import datetime

    from llmkit.budget.redis import RedisBudgets
    from llmkit.policy.budgets.amounts import Used
    from llmkit.policy.budgets.decide import Claim

log = logging.getLogger("llmkit.budget")

# How often a store that does not serve is tried again, in seconds.
_RETRY_EVERY = 1.0


class Charge(NamedTuple):
    """What was used of a hold. What its store knows nothing of, because it did not answer then, is held first.

    Attributes:
        final: whether it may not be corrected.
        again: whether it corrects what was charged before.
        unasked: what would have been held.
        granted_at: when.
        partition: which part of a cluster has it.
        may_come: whether it may be held after this, by a connection that was cut: then it is to come to nothing.
    """

    hold_id: str
    used: Used
    final: bool = True
    again: bool = True
    unasked: tuple[Claim, ...] = ()
    granted_at: datetime | None = None
    partition: str = ""
    may_come: bool = False


def may_be_held(error: BudgetUnavailable) -> bool:
    """Whether a hold that failed may have been made all the same."""
    cause = error.__cause__
    return not isinstance(cause, RedisUnavailable) or cause.was_asked


class Settler:
    """Hands settlements to a store, in order, and again until it takes them.

    Args:
        store: charges them.
        on_back: is called, in the thread, when a store that did not serve has taken all that waited.
    """

    def __init__(
        self, store: RedisBudgets, *, on_back: Callable[[], object] = lambda: None
    ) -> None:
        self._store = store
        self._on_back = on_back
        self._was_away = False
        self._later = Later(self._charge, name="llmkit-budgets", log=log)

    def settle_soon(self, charge: Charge) -> None:
        """Charge what was used, without waiting; may come from a destructor."""
        self._later.put(charge)

    def waiting(self, hold_id: str) -> Charge | None:
        """Return what is still to be charged for a hold, if anything is."""
        return next((each for each in self._later.waiting if each.hold_id == hold_id), None)

    def flush(self, timeout: float) -> None:
        """Wait until all that was handed in is charged, for at most so many seconds."""
        self._later.flush(timeout)

    def close(self, timeout: float) -> None:
        """Do the same, and end the thread; a store that does not serve is not waited for. What is not charged is what the ledger has."""
        self._later.close(0.0 if self._was_away else timeout)

    def _charge(self, charge: Charge) -> float | None:
        try:
            self._store.charge(charge)
        except BudgetUnavailable as error:
            if isinstance(error.__cause__, ScriptFailed):
                log.error("what a call has used could not be charged: %s", error)  # noqa: TRY400
                return None
            log.debug("what a call has used is not charged yet: %s", error)
            self._was_away = True
            return _RETRY_EVERY
        if self._was_away and self._later.count == 1:
            self._was_away = False
            self._on_back()
        return None

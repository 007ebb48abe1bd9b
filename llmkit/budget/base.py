"""What a store of budgets has to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import Used
from llmkit.policy.budgets.decide import Claim, Shortage


class BudgetStore(Protocol):
    """Keeps budgets. Threads may share one; a store of several processes decides for all of them together."""

    def hold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Hold amounts in all accounts, or in none if one of them has no room; return why. A hold that is there already changes nothing.

        Raises:
            BudgetUnavailable: the store does not answer.
        """

    def settle(self, hold_id: str, used: Used) -> None:
        """Charge what was used in place of what is held, in the windows in which it was held, wherever the clock is by now.

        Settling again charges the difference. A hold that is not there is none to settle.

        Raises:
            BudgetUnavailable: the store does not answer.
        """

    async def ahold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Do what `hold` does, without blocking the event loop."""

    async def asettle(self, hold_id: str, used: Used) -> None:
        """Do what `settle` does, without blocking the event loop."""

    async def abalances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Do what `balances` does, without blocking the event loop."""

    def balances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Return what the accounts have in their windows of now.

        Raises:
            BudgetUnavailable: the store does not answer.
        """

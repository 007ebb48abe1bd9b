"""What a store of budgets has to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from llmkit.budget.allowance import Allowance
from llmkit.budget.bell import Bell
from llmkit.policy.budgets.accounts import Account, Balance, Entry
from llmkit.policy.budgets.amounts import Units, Used
from llmkit.policy.budgets.decide import Claim, Shortage


class Place(NamedTuple):
    """A window of an account, by its beginning, and which part of a cluster has it."""

    key: str
    start: int
    partition: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """All that one window of an account has: what is used and held in it, and the holds that are open, by their ids."""

    account: Account
    holds: Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Audit:
    """What is to be compared with a window of an account elsewhere.

    Attributes:
        used: what was charged in it; None if it is not known here at all.
        held: what is held in it, by the ids of the holds.
        settled: what was charged of holds that were asked for, by their ids. It is a part of what was used.
    """

    used: Units | None
    held: Mapping[str, Entry]
    settled: Mapping[str, Used]


class Source(Protocol):
    """Where budgets are kept for good: a store that has forgotten some fills them from there."""

    def states(self, places: Sequence[Place]) -> list[State]:
        """Read windows of accounts.

        Raises:
            BudgetUnavailable: they cannot be read.
        """

    def mirror(self, hold_id: str, claims: Sequence[Claim], granted_at: datetime) -> None:
        """Write down what was held elsewhere, whether there is room or not.

        Raises:
            BudgetUnavailable: it cannot be written.
        """

    def settle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Charge what was used; see `BudgetStore`."""

    def audit(self, place: Place, hold_ids: Sequence[str]) -> Audit:
        """Read a window of an account that does not change meanwhile, and what became of holds.

        Raises:
            BudgetUnavailable: it cannot be read.
        """

    async def astates(self, places: Sequence[Place]) -> list[State]:
        """Do what `states` does, without blocking the event loop."""

    async def amirror(self, hold_id: str, claims: Sequence[Claim], granted_at: datetime) -> None:
        """Do what `mirror` does, without blocking the event loop."""

    async def asettle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Do what `settle` does, without blocking the event loop."""


class BudgetStore(Protocol):
    """Keeps budgets. Threads may share one; a store of several processes decides for all of them together."""

    @property
    def bell(self) -> Bell:
        """What is told of limits that come near: by this store or, where budgets are kept for good, by the ledger's."""

    def hold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Hold amounts in all accounts, or in none if one of them has no room; return why. A hold that is there already changes nothing.

        Raises:
            BudgetUnavailable: the store does not answer.
        """

    def settle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Charge what was used in place of what is held, in the windows in which it was held, wherever the clock is by now.

        Settling `again` charges the difference, or changes nothing. A hold that is not there is none to settle.

        Raises:
            BudgetUnavailable: the store does not answer.
        """

    async def ahold(self, hold_id: str, claims: Sequence[Claim]) -> Shortage | None:
        """Do what `hold` does, without blocking the event loop."""

    async def asettle(self, hold_id: str, used: Used, *, again: bool = True) -> None:
        """Do what `settle` does, without blocking the event loop."""

    async def abalances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Do what `balances` does, without blocking the event loop."""

    def balances(self, claims: Sequence[Claim]) -> list[Balance]:
        """Return what the accounts have in their windows of now.

        Raises:
            BudgetUnavailable: the store does not answer.
        """


class KeptBudgets(BudgetStore, Source, Protocol):
    """A store that keeps budgets for good."""

    def close(self) -> None:
        """Close its connection; it is made again when it is needed."""


class Books(Protocol):
    """A ledger, as budgets need it."""

    @property
    def budgets(self) -> KeptBudgets | None:
        """Where budgets are kept, beside the rows; None if they are not."""

    def on_unwritten(self, work: Callable[[bool], bool]) -> None:
        """Say it to this when rows begin to wait outside of the database, and when none does. If it returns False it is said again."""

    def allow(self, allowance: Allowance) -> None:
        """Let calls be made within this while the budgets that are kept here cannot be asked."""

    def after_sweep(self, work: Callable[[Callable[[float], object]], object]) -> None:
        """Do something after each time that rows of processes that have died were looked for. It is given what waits for so many seconds."""

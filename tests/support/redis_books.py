"""Budgets in Redis, over those in the ledger's database."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from llmkit.budget.base import Place
from llmkit.budget.reconcile import reconcile
from llmkit.budget.redis import RedisBudgets
from llmkit.budget.settler import Charge
from llmkit.errors import BudgetUnavailable
from llmkit.ledger.budgets import TableBudgets
from llmkit.ledger.database import database_url
from llmkit.ledger.sql import SQLStore
from llmkit.policy.budgets.accounts import Balance
from llmkit.policy.budgets.amounts import Units, Used
from llmkit.policy.budgets.decide import Claim, Shortage
from llmkit.redis.room import RedisRoom
from support.redis_server import any_redis_url, let_lapse

EVER = Claim(
    key="all:ever=",
    scope="all",
    per="ever",
    amount=Units(usd=30, tokens=20, requests=1),
    limits={"usd": 100},
)
MONTH = Claim(
    key="user:month=7",
    scope="user",
    per="month",
    amount=Units(usd=30, tokens=20, requests=1),
    limits={"requests": 90},
)
MINUTE = Claim(
    key="user:minute=7",
    scope="user",
    per="minute",
    amount=Units(requests=1),
    limits={"requests": 90},
)
BOTH = [EVER, MONTH]


class Away(TableBudgets):
    """A database that does not serve."""

    def mirror(self, *_: Any) -> None:
        """Fail."""
        raise BudgetUnavailable("away")

    def audit(self, *_: Any) -> Any:
        """Fail."""
        raise BudgetUnavailable("away")


@dataclass
class Books:
    """Budgets in Redis and in a database, and Redis itself."""

    kept: TableBudgets
    budgets: RedisBudgets
    redis: Any
    part: str
    pauses: list[float] = field(default_factory=list)

    def begin(self, name: str, *claims: Claim) -> bool:
        """Hold for a call; its row is written, too."""
        asked = self.parted(*(claims or BOTH))
        granted = self.budgets.grant(name, asked)
        if isinstance(granted, Shortage):
            return False
        self.kept.mirror(name, asked, granted)
        return True

    def parted(self, *claims: Claim) -> list[Claim]:
        """Say which part the accounts are in."""
        return [dataclasses.replace(claim, partition=self.part) for claim in claims]

    def charge(self, name: str, used: Used, *, final: bool = True) -> None:
        """Charge in Redis what a call has used."""
        self.budgets.charge(Charge(name, used, final=final, partition=self.part))

    def end(self, name: str, used: Used) -> None:
        """Charge what a call has used, in both."""
        self.charge(name, used, final=False)
        self.kept.settle(name, used)

    def reconcile(self) -> int:
        """Correct Redis."""
        return reconcile(self.budgets, self.kept, self.pauses.append)

    def forget(self, *names: str) -> None:
        """Let Redis lose keys."""
        self.redis.delete(*names)

    def keys(self, claim: Claim) -> list[str]:
        """Name the keys of an account."""
        start = claim.window(self.budgets.date).start
        return self.budgets.words.account(Place(claim.key, start, self.part))

    def let_lapse(self, claim: Claim) -> None:
        """Let go of what nobody has settled by now, as the next hold after half a minute does."""
        let_lapse(self.redis, *self.keys(claim))


@contextmanager
def redis_books(folder: Path, *, is_parted: bool) -> Iterator[Books]:
    """Make both, empty; whether each tenant's budgets are in a part of a cluster or not."""
    url = any_redis_url()
    room = RedisRoom(url)
    with (
        closing(
            SQLStore(database_url(f"sqlite:///{folder / 'ledger.db'}"), worker="test")
        ) as store,
        closing(redis.Redis.from_url(url, decode_responses=True)) as client,
        closing(room),
    ):
        kept = TableBudgets(store)
        parted = RedisBudgets(room, source=kept, namespace=folder.name, is_parted=is_parted)
        yield Books(kept, parted, client, "acme" if is_parted else "")


def both(books: Books, *claims: Claim) -> tuple[list[Balance], list[Balance]]:
    """Return what Redis has, and what the database has."""
    return books.budgets.balances(books.parted(*(claims or BOTH))), books.kept.balances(
        claims or BOTH
    )


def used(usd: int) -> Used:
    """Return what a call has used."""
    return Used(usd=usd, tokens=usd + 1)

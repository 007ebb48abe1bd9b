"""The half of a store that looks after its old rows, over SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from llmkit.ledger import repricing, retention
from llmkit.ledger.repricing import Costed
from llmkit.ledger.retention import Pruned

if TYPE_CHECKING:
    from llmkit.policy.pricing import Priced

T = TypeVar("T")


class Upkeep(ABC):
    """Does what `Maintained` says."""

    @abstractmethod
    def ask(self, work: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Let something ask the database in one transaction: it is given what runs a query, and the database's dialect.

        Raises:
            LedgerUnavailable: the database is at fault.
        """

    @abstractmethod
    def change(self, work: Callable[..., T], *args: Any) -> T:
        """Do what `ask` does, for what reads before it writes. The tables are made if they are missing.

        Raises:
            LedgerUnavailable: the database is at fault.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; it is made again when it is needed."""

    def count_old(self, before: datetime, *, content_only: bool) -> int:
        """Count rows; see `Maintained.count_old`."""
        return self.ask(retention.count_old, before, content_only=content_only)

    def prune(self, before: datetime, *, content_only: bool, limit: int, after: Any) -> Pruned:
        """Delete rows; see `Maintained.prune`."""
        # Not in one transaction: SQLite lets none write that has read before, if another has written meanwhile.
        found = self.ask(
            retention.find_old, before, content_only=content_only, limit=limit, after=after
        )
        pruned = 0
        if found.ids:
            pruned = self.ask(retention.prune_rows, found.ids, content_only=content_only)
        return Pruned(len(found.ids), pruned, found.last)

    def closed(self, *, since: datetime | None, after: int, limit: int) -> list[Costed]:
        """Read rows; see `Maintained.closed`."""
        return self.ask(repricing.closed, since=since, after=after, limit=limit)

    def set_costs(self, costs: Sequence[tuple[Costed, Priced]]) -> None:
        """Write costs; see `Maintained.set_costs`."""
        self.ask(repricing.set_costs, costs)

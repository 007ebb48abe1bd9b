"""Which processes live, as the ledger's database knows it, and what becomes of the rows of those that do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from llmkit.ledger.columns import CLOCK_ERROR, HOSTS, HOSTS_LIVE, REMEMBERED, SIZES, SWEEPER
from llmkit.ledger.schema import usage, workers
from llmkit.ledger.values import fit


class Liveness:
    """Notes that a process lives, and sweeps up after those that have died.

    Args:
        worker: the name of this process.
        now: the date, for SQLite, which is on the same machine; a server's own clock counts there.
    """

    def __init__(
        self, worker: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._name = fit(worker, SIZES["worker"])
        self._now = now

    def note(self, connection: Connection) -> None:
        """Say that this process lives, inside a transaction that is open."""
        now = self._ago(connection, 0)
        insert = _insert(connection).values(name=self._name, seen_at=now)
        connection.execute(
            insert.on_conflict_do_update(index_elements=["name"], set_={"seen_at": now})
        )

    def sweep(self, connection: Connection, *, silent: float, every: float) -> int | None:
        """Mark as lost the rows that are open in processes that were not seen for so many seconds, inside a transaction that is open.

        Whatever a row holds by then stays in it. An end that comes after all still corrects it.

        Args:
            connection: over which.
            silent: after how many seconds a process counts as dead. A row whose process is not known has to be as old.
            every: how many seconds have to be between two sweeps, over all hosts.

        Returns:
            How many rows are lost; None if another process has swept meanwhile.
        """
        if not self._may_sweep(connection, every):
            return None
        limit = self._ago(connection, silent)
        seen = sa.select(workers.c.seen_at).where(workers.c.name == usage.c.worker)
        # Seen in the future: the clock was set back since then.
        soon = self._ago(connection, -CLOCK_ERROR)
        lives = sa.exists().where(
            workers.c.name == usage.c.worker, workers.c.seen_at >= limit, workers.c.seen_at <= soon
        )
        found = connection.execute(
            sa.update(usage)
            .where(
                usage.c.status == "started",
                usage.c.started_at < limit,
                ~lives,
                sa.or_(
                    ~usage.c.worker.startswith(HOSTS),
                    usage.c.started_at < self._ago(connection, HOSTS_LIVE),
                ),
            )
            .values(
                status="lost",
                finished_at=sa.func.coalesce(seen.scalar_subquery(), usage.c.started_at),
            )
        )
        self._forget(connection)
        return found.rowcount

    def _may_sweep(self, connection: Connection, every: float) -> bool:
        """Take the lease; whoever else wants it waits for the end of this transaction, and then finds it taken."""
        longest_ago = datetime(1970, 1, 1, tzinfo=UTC)
        connection.execute(
            _insert(connection)
            .values(name=SWEEPER, seen_at=longest_ago)
            .on_conflict_do_nothing(index_elements=["name"])
        )
        taken = connection.execute(
            sa.update(workers)
            .where(
                workers.c.name == SWEEPER,
                sa.or_(
                    workers.c.seen_at <= self._ago(connection, every),
                    workers.c.seen_at > self._ago(connection, -CLOCK_ERROR),
                ),
            )
            .values(seen_at=self._ago(connection, 0), holder=self._name)
        )
        return taken.rowcount == 1

    def _forget(self, connection: Connection) -> None:
        has_rows = sa.exists().where(usage.c.worker == workers.c.name, usage.c.status == "started")
        connection.execute(
            sa.delete(workers).where(
                workers.c.name != SWEEPER,
                workers.c.seen_at < self._ago(connection, REMEMBERED),
                ~has_rows,
            )
        )

    def _ago(self, connection: Connection, seconds: float) -> Any:
        if connection.dialect.name == "sqlite":
            return self._now() - timedelta(seconds=seconds)
        return sa.func.now() - sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)


def _insert(connection: Connection) -> Any:
    """Begin an INSERT that may meet a row; each database has its own."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return insert(workers)
